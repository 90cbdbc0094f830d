"""Calls from this runner to other chainlets: what a runner of a chain installs, and the transport that stubs use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.remote.edge_link import EdgeLink
from penstock.chains.remote.runtime import Peers
from penstock.chains.remote.transport import Call, Conversation, Reply, StreamReply
from penstock.chains.remote.trunk_call import RefusedError, TrunkCall, WholeCall, headers_of, refusal
from penstock.chains.remote.trunk_conversation import TrunkConversation
from penstock.close_codes import EndCode, end
from penstock.trunk.connection import Trunk
from penstock.trunk.stream import TrunkStream

BODY_WITH_OPENING_BYTES_MAX = 128 * 1024
"""Largest body that travels with the opening. A larger one follows in segments, which are cheaper by the byte."""

PREDICT_PATH = "/v1/models/model:predict"

NOT_FOUND_S = 2.0
"""Time for an edge to learn of a deployment that the controller has told this runner of."""

NOT_FOUND_PAUSE_S = 0.05

MOVES_MAX = 4
"""Edges that a call is sent on to when one after the other drains."""

_STREAM_ID = "chain"
"""The edge gives each stream an id of its own."""


class ChainCaller:
    """The way of this process to the other chainlets of its chain.

    Args:
        name: the replica's id.
        on_lost: as of EdgeLink.
    """

    def __init__(
        self,
        name: str,
        *,
        on_lost: Callable[[str, str, int], None] = lambda _address, _detail, _streams: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._link = EdgeLink(name, on_lost=on_lost)
        self._peers: Peers | None = None
        self._has_peers = threading.Event()

    def set_peers(self, peers: Peers) -> None:
        """Takes what the controller has told last. Any thread."""
        self._peers = peers
        self._has_peers.set()
        try:
            self.loop.call_soon_threadsafe(self._link.set_addresses, peers.edge_addresses)
        except RuntimeError:
            pass  # the loop is closed: the process ends

    def peers(self, timeout_s: float) -> Peers:
        """Returns the newest; waits for the first ones on any thread but the loop's.

        Raises:
            ChainsRuntimeError: none came in time.
        """
        if self._peers is None:
            is_loop = threading.get_ident() == self._loop_thread
            self._has_peers.wait(0.0 if is_loop else timeout_s)
        if self._peers is None:
            raise ChainsRuntimeError(
                f"The controller has not said within {timeout_s:g} s where the other chainlets of the chain are. "
                "Look into its log, and whether this replica is attached to it."
            )
        return self._peers

    def transport(self, deployment_id: str) -> TrunkTransport:
        """Returns the way to a deployment. Any thread."""
        return TrunkTransport(self._link, self.loop, deployment_id)

    async def stop(self) -> None:
        """Ends the trunks, and every call on them."""
        await self._link.stop()


class TrunkTransport:
    """Carries calls to one deployment over the trunk to an edge, which places each at a replica. Loop thread only."""

    def __init__(self, link: EdgeLink, loop: asyncio.AbstractEventLoop, deployment_id: str) -> None:
        self._link = link
        self._loop = loop
        self._deployment_id = deployment_id

    async def call(self, call: Call) -> Reply:
        """Returns the whole response, whatever its status.

        Raises:
            PenstockError: there is none.
        """
        request, rest = self._request(call)
        tries = _Tries(self._link, self._loop)
        while True:
            exchange = WholeCall(self._loop, await self._open(request, tries))
            try:
                if rest:
                    await exchange.send_rest(rest)
                return await exchange.reply()
            except RefusedError as error:
                refused = error.reject
            finally:
                exchange.close()
            await tries.again(refused)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[StreamReply]:
        """Enters when the head of the response has come. Leaving early cancels the callee.

        Raises:
            PenstockError: there is no response.
        """
        request, rest = self._request(call)
        tries = _Tries(self._link, self._loop)
        while True:
            exchange = TrunkCall(self._loop, await self._open(request, tries))
            try:
                try:
                    if rest:
                        await exchange.send_rest(rest)
                    head = await exchange.head()
                except RefusedError as error:
                    refused = error.reject
                else:
                    yield _Stream(exchange, head.status, headers_of(head))
                    return
            finally:
                exchange.close()
            await tries.again(refused)

    @asynccontextmanager
    async def converse(self, call: Call) -> AsyncIterator[Conversation]:
        """Enters when the callee has given a slot. Leaving early cancels the callee.

        Raises:
            PenstockError: there is no slot.
        """
        request = self._open_stream(trunk_pb2.TRANSPORT_GRPC, call.headers)
        tries = _Tries(self._link, self._loop)
        while True:
            exchange = TrunkConversation(self._loop, await self._open(request, tries))
            try:
                try:
                    await exchange.opened()
                except RefusedError as error:
                    refused = error.reject
                else:
                    yield exchange
                    return
            finally:
                exchange.close()
            await tries.again(refused)

    def _request(self, call: Call) -> tuple[trunk_pb2.OpenStream, Sequence[bytes]]:
        """Returns the opening, and the parts of the body that follow it."""
        request = self._open_stream(trunk_pb2.TRANSPORT_HTTP, call.headers)
        body = call.body
        size = sum([len(part) if type(part) is bytes else memoryview(part).nbytes for part in body])
        if size <= BODY_WITH_OPENING_BYTES_MAX:
            request.body = body[0] if len(body) == 1 and type(body[0]) is bytes else b"".join(body)
            return request, ()
        request.body_follows = True
        return request, [b"".join(body)]

    def _open_stream(
        self, transport: trunk_pb2.Transport.ValueType, headers: Mapping[str, str]
    ) -> trunk_pb2.OpenStream:
        is_request = transport == trunk_pb2.TRANSPORT_HTTP
        path = PREDICT_PATH if is_request else "/"
        return trunk_pb2.OpenStream(
            stream_id=_STREAM_ID,
            transport=transport,
            path=path,
            raw_path=path.encode(),
            headers=[
                common_pb2.Header(name=name, value=value.encode("latin-1", "replace"))
                for name, value in headers.items()
            ],
            scheme="http" if is_request else "grpc",
            deployment_id=self._deployment_id,
            method="POST" if is_request else "",
            model_path=path.encode() if is_request else b"",
        )

    async def _open(self, request: trunk_pb2.OpenStream, tries: _Tries) -> TrunkStream:
        """Opens a stream on the trunk to an edge."""
        link = self._link
        while True:
            trunk = tries.trunk = link.ready() or await link.trunk()
            stream = trunk.open(request)
            if stream is not None:
                return stream
            tries.moved(trunk_pb2.RejectStream(code=EndCode.RATE_LIMITED, reason="Too many calls are under way."))


class _Tries:
    """What one call has met with so far at edges, and whether it may be tried again. It had no slot in any of them."""

    def __init__(self, link: EdgeLink, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._loop = loop
        self.trunk: Trunk | None = None
        """The one that was taken last."""
        self._moves = 0
        self._not_found_until: float | None = None

    async def again(self, reject: trunk_pb2.RejectStream) -> None:
        """Returns when it is time for a further try.

        Raises:
            PenstockError: there is to be none.
        """
        code = end(reject.code).code
        if code is EndCode.EDGE_DRAINING:
            self.moved(reject)
            return
        if code is EndCode.NOT_FOUND:
            now = self._loop.time()
            if self._not_found_until is None:
                self._not_found_until = now + NOT_FOUND_S
            if now < self._not_found_until:
                await asyncio.sleep(NOT_FOUND_PAUSE_S)
                return
        raise refusal(reject)

    def moved(self, reject: trunk_pb2.RejectStream) -> None:
        """Has the next try go to another edge, if there is one.

        Raises:
            PenstockError: there were too many already.
        """
        self._moves += 1
        if self._moves > MOVES_MAX:
            raise refusal(reject)
        assert self.trunk is not None
        self._link.leave(self.trunk)


@dataclass(slots=True)
class _Stream:
    """A response that comes bit by bit."""

    exchange: TrunkCall
    status: int
    headers: Mapping[str, str]

    def items(self) -> AsyncIterator[bytes]:
        """The items as the callee has yielded them, in order.

        Raises:
            PenstockError: the rest will not come.
        """
        return self.exchange.items()
