"""Calls, channels and servers in memory that stand in for those of grpc.aio. See simulated_network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import grpc.aio

from penstock_testing.simulated_node import NODE, Node

if TYPE_CHECKING:
    from penstock_testing.simulated_network import Network

CONNECT_TIMEOUT_S = 20.0
"""Time after which gRPC gives up to connect to a host that does not answer."""

SERVER_KEEPALIVE_S = 50.0
"""Silence after which a server ends a call (30 s and 20 s, see the options of the controller)."""

RESET_S = 3.0
"""Time after the end of a partition in which a side that has given up is heard: it answers the next heartbeat."""


class _Wire:
    """One direction of a call."""

    def __init__(self, call: Call, receive: Callable[[str, Any], None]) -> None:
        self._call = call
        self._receive = receive
        self._items: deque[tuple[float, str, Any]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, kind: str, item: Any = None) -> None:
        network = self._call.network
        due = network.loop.time() + network.delay(self._call.random)
        if self._items:
            due = max(due, self._items[-1][0])
        self._items.append((due, kind, item))
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._items and not self._call.is_held:
            self._timer = self._call.network.loop.call_at(self._items[0][0], self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        now = self._call.network.loop.time()
        while self._items and self._items[0][0] <= now and not self._call.is_held:
            _, kind, item = self._items.popleft()
            self._receive(kind, item)
        self._arm()

    def healed(self) -> None:
        self._arm()


class _Inbox:
    """What has come, and how it ended."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.end: BaseException | None = None
        """EOFError stands for an ordinary end."""

    def put(self, item: Any) -> None:
        if self.end is None:
            self._items.append(item)
            self._wake()

    def close(self, end: BaseException, *, drop: bool) -> None:
        if self.end is None:
            self.end = end
            if drop:
                self._items.clear()
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> Any:
        while not self._items:
            if self.end is not None:
                if isinstance(self.end, EOFError):
                    return grpc.aio.EOF
                raise self.end
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._items.popleft()


def _error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


class Call:
    """One call: what a client of grpc.aio holds, and in `context` what a server does."""

    def __init__(
        self, channel: Channel, method: str, serialize: Any, deserialize: Any, requests: AsyncIterator[Any] | None
    ) -> None:
        self.network = channel.network
        self.client, self.server = channel.node, None
        self._client: Node = channel.node
        self._server: Node | None = None
        self._address, self._method = channel.address, method
        self._serialize, self._deserialize = serialize, deserialize
        self._inbox = _Inbox()
        self._to_server = _Wire(self, self._at_server)
        self._to_client = _Wire(self, self._at_client)
        self._feeder: asyncio.Task[None] | None = None
        self.context: ServerContext | None = None
        self.keepalive_s = channel.keepalive_s
        self.network.calls[self] = None
        candidates = self.network.listeners.get(channel.address, [])
        listener = self.network.random.choice(candidates) if candidates else None
        self._listener = listener
        if listener is not None:
            self._server = listener.node
        self.random = self.network.random_of(self._client, self._server)
        self._to_server.send("open")
        if listener is None or self.is_held:
            after = self.network.delay(self.random) if listener is None else CONNECT_TIMEOUT_S
            self.network.loop.call_later(after, self._not_connected)
        if requests is not None:
            self._feeder = asyncio.create_task(self._feed(requests), name=f"feeder {method}")

    @property
    def is_client_over(self) -> bool:
        return self._inbox.end is not None

    @property
    def is_held(self) -> bool:
        return self._server is not None and self.network.is_cut(self._client, self._server)

    def nodes(self) -> tuple[Node, Node | None]:
        return self._client, self._server

    # The client's side.

    async def read(self) -> Any:
        try:
            item = await self._inbox.get()
        except asyncio.CancelledError:
            self.cancel()
            raise
        return item if item is grpc.aio.EOF or self._deserialize is None else self._deserialize(item)

    async def write(self, message: Any) -> None:
        if self._inbox.end is not None:
            raise self._inbox.end if not isinstance(self._inbox.end, EOFError) else asyncio.InvalidStateError("ended")
        self._to_server.send("message", message if self._serialize is None else self._serialize(message))
        await asyncio.sleep(0)

    def cancel(self) -> bool:
        if self._inbox.end is not None:
            return False
        self._end_client(asyncio.CancelledError("call was cancelled"), drop=True)
        self._to_server.send("cancel")
        return True

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._responses()

    async def _responses(self) -> AsyncIterator[Any]:
        while (response := await self.read()) is not grpc.aio.EOF:
            yield response

    async def _feed(self, requests: AsyncIterator[Any]) -> None:
        async for request in requests:
            if self._inbox.end is not None:
                return
            self._to_server.send("message", request if self._serialize is None else self._serialize(request))
        self._to_server.send("half-close")

    def _not_connected(self) -> None:
        if self.context is None and (self._listener is None or self.is_held):
            self._end_client(_error(grpc.StatusCode.UNAVAILABLE, "failed to connect"), drop=True)

    def _end_client(self, end: BaseException, *, drop: bool) -> None:
        self._inbox.close(end, drop=drop)
        if self._feeder is not None:
            self._feeder.cancel()
        self._forget()

    def _at_client(self, kind: str, item: Any) -> None:
        if not self._client.is_alive:
            return
        if kind == "message":
            self._inbox.put(item)
        else:
            self._end_client(EOFError() if item is None else item, drop=False)

    # The server's side.

    def _at_server(self, kind: str, item: Any) -> None:
        listener = self._listener
        if listener is None or not listener.node.is_alive:
            return
        if kind == "open":
            handler = listener.handler(self._method)
            if handler is None:
                self._to_client.send("end", _error(grpc.StatusCode.UNAVAILABLE, "connection refused"))
            elif self._inbox.end is None:
                self.context = ServerContext(self, listener, handler)
        elif self.context is not None:
            self.context.came(kind, item)

    def send_to_client(self, kind: str, item: Any) -> None:
        self._to_client.send(kind, item)

    # Faults.

    def break_client(self, why: str) -> None:
        """The client's end of the connection is gone."""
        self._end_client(_error(grpc.StatusCode.UNAVAILABLE, why), drop=True)

    def break_server(self) -> None:
        """The server's end of the connection is gone."""
        if self.context is not None:
            self.context.broken()
        self._forget()

    def healed(self) -> None:
        self._to_server.healed()
        self._to_client.healed()

    def _forget(self) -> None:
        if self._inbox.end is not None and (self.context is None or self.context.is_over):
            self.network.calls.pop(self, None)

    def server_over(self) -> None:
        self._forget()


class ServerContext:
    """What the handler of a call gets."""

    def __init__(self, call: Call, server: Server, handler: Any) -> None:
        self._call = call
        self._handler = handler
        self._server = server
        self._inbox = _Inbox()
        self.is_over = False
        self._status: BaseException | None = None
        server.contexts[self] = None
        self._task = server.node.spawn(self._run(), f"handler of {call.nodes()[0].name}")

    async def _run(self) -> None:
        end: BaseException | None = _error(grpc.StatusCode.CANCELLED, "handler was cancelled")
        try:
            await self._handler.stream_stream(self._requests(), self)
            end = None
        except _AbortError as abort:
            end = abort.error
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._call.network.on_error(f"handler raised {error!r}")
        finally:
            if not self.is_over:
                self.is_over = True
                if self._server.node.is_alive:
                    self._call.send_to_client("end", end)
            self._server.contexts.pop(self, None)
            self._call.server_over()

    async def _requests(self) -> AsyncIterator[Any]:
        while (request := await self.read()) is not grpc.aio.EOF:
            yield request

    async def read(self) -> Any:
        item = await self._inbox.get()
        deserialize = self._handler.request_deserializer
        return item if item is grpc.aio.EOF or deserialize is None else deserialize(item)

    async def write(self, message: Any) -> None:
        if self.is_over:
            raise asyncio.InvalidStateError("the call is over")
        serialize = self._handler.response_serializer
        if self._server.node.is_alive:
            self._call.send_to_client("message", message if serialize is None else serialize(message))
        await asyncio.sleep(0)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        raise _AbortError(_error(code, details))

    def came(self, kind: str, item: Any) -> None:
        if kind == "message":
            self._inbox.put(item)
        elif kind == "half-close":
            self._inbox.close(EOFError(), drop=False)
        else:
            self.broken()

    def broken(self) -> None:
        self.is_over = True
        self._inbox.close(EOFError(), drop=True)
        self._task.cancel()

    def end(self) -> None:
        """The server stops."""
        self._task.cancel()


class _Details(NamedTuple):
    method: str
    invocation_metadata: tuple[()] = ()


class _AbortError(Exception):
    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(str(error))
        self.error = error


class Server:
    """Stands in for grpc.aio.Server."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.node = NODE.get()
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._address = ""
        self._is_open = False
        self.contexts: dict[ServerContext, None] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        pass

    def add_insecure_port(self, address: str) -> int:
        host, _, port = address.rpartition(":")
        number = int(port) or self._network.next_port()
        self._address = f"{host}:{number}"
        return number

    async def start(self) -> None:
        self._is_open = True
        self._network.listeners.setdefault(self._address, []).append(self)

    def unbind(self) -> None:
        self._is_open = False
        servers = self._network.listeners.get(self._address, [])
        if self in servers:
            servers.remove(self)

    async def stop(self, grace: float | None) -> None:
        self.unbind()
        if self.contexts and grace:
            ended = asyncio.Event()
            asyncio.get_running_loop().call_later(grace, ended.set)
            await ended.wait()
        for context in list(self.contexts):
            context.end()

    def handler(self, method: str) -> Any:
        """Finds what serves `method`; None when nothing listens any more."""
        if not self._is_open:
            return None
        for generic in self._handlers:
            handler = generic.service(_Details(method))  # type: ignore[arg-type]  # what it looks at is there
            if handler is not None:
                return handler
        return None


class Channel:
    """Stands in for grpc.aio.Channel."""

    def __init__(self, network: Network, address: str, options: Iterable[tuple[str, Any]]) -> None:
        self.network = network
        self.address = address
        self.node = NODE.get()
        values = dict(options)
        self.keepalive_s = (
            values.get("grpc.keepalive_time_ms", 3_600_000) + values.get("grpc.keepalive_timeout_ms", 20_000)
        ) / 1000

    def stream_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Callable[..., Call]:
        def make(requests: AsyncIterator[Any] | None = None, **_: Any) -> Call:
            return Call(self, method, request_serializer, response_deserializer, requests)

        return make

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        pass
