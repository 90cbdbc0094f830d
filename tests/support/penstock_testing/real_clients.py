"""WebSocket clients that people use, behind one small interface, so that one test can ask the same of each.

Every operation is bounded by ANSWER_SECONDS and then fails in the client's own words.
"""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import threading
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import websocket
import websockets
import websockets.asyncio.client
import websockets.sync.client

ANSWER_SECONDS = 30.0
"""How long one answer may take on a busy machine."""

Message = str | bytes
T = TypeVar("T")


class Refused(Exception):
    """The upgrade was answered with an HTTP status other than 101."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"HTTP {status}")


class Session(ABC):
    """One open connection."""

    @abstractmethod
    def subprotocol(self) -> str | None:
        """The one that was agreed on; None or "" for none."""

    @abstractmethod
    def send(self, message: Message) -> None: ...

    @abstractmethod
    def receive(self) -> Message: ...

    @abstractmethod
    def ping(self, payload: bytes) -> bytes:
        """Pings, and returns what the pong carries. No message may be on its way."""

    @abstractmethod
    def close(self, code: int, reason: str) -> int:
        """Closes, and returns the code of the close frame that came back."""

    @abstractmethod
    def closed(self) -> tuple[int, str]:
        """Waits until the other side closes, and returns its code (1005 for none) and reason."""


Client = Callable[[str], AbstractContextManager[Session]]


class _SyncWebsockets(Session):
    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self._connection = connection

    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    def send(self, message: Message) -> None:
        self._connection.send(message)

    def receive(self) -> Message:
        return self._connection.recv(ANSWER_SECONDS)

    def ping(self, payload: bytes) -> bytes:
        assert self._connection.ping(payload).wait(ANSWER_SECONDS), "no pong"
        return payload

    def close(self, code: int, reason: str) -> int:
        self._connection.close(code, reason)
        return _received(self._connection.protocol)[0]

    def closed(self) -> tuple[int, str]:
        try:
            message = self.receive()
        except websockets.ConnectionClosed:
            return _received(self._connection.protocol)
        raise AssertionError(f"a message instead of a close frame: {message!r}")


def _received(protocol: Any) -> tuple[int, str]:
    frame = protocol.close_rcvd
    return (frame.code, frame.reason) if frame is not None else (1006, "")


@contextmanager
def websockets_sync(url: str) -> Iterator[Session]:
    """The threaded client of `websockets`."""
    try:
        with websockets.sync.client.connect(url, max_size=None, proxy=None) as connection:
            yield _SyncWebsockets(connection)
    except websockets.InvalidStatus as refused:
        raise Refused(refused.response.status_code) from refused


class _OnLoop(Session):
    """A session of an asyncio library: each operation runs the loop until it is done."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def run(self, answer: Awaitable[T]) -> T:
        async def bounded() -> T:
            return await asyncio.wait_for(answer, ANSWER_SECONDS)

        return self._runner.run(bounded())


class _AsyncWebsockets(_OnLoop):
    def __init__(self, runner: asyncio.Runner, connection: websockets.asyncio.client.ClientConnection) -> None:
        super().__init__(runner)
        self._connection = connection

    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    def send(self, message: Message) -> None:
        self.run(self._connection.send(message))

    def receive(self) -> Message:
        return self.run(self._connection.recv())

    def ping(self, payload: bytes) -> bytes:
        async def ping() -> bytes:
            await (await self._connection.ping(payload))
            return payload

        return self.run(ping())

    def close(self, code: int, reason: str) -> int:
        self.run(self._connection.close(code, reason))
        return _received(self._connection.protocol)[0]

    def closed(self) -> tuple[int, str]:
        self.run(self._connection.wait_closed())
        return _received(self._connection.protocol)


@contextmanager
def websockets_asyncio(url: str) -> Iterator[Session]:
    """The asyncio client of `websockets`."""
    with asyncio.Runner() as runner:

        async def connect() -> websockets.asyncio.client.ClientConnection:
            return await websockets.asyncio.client.connect(url, max_size=None, proxy=None)

        try:
            connection = runner.run(connect())
        except websockets.InvalidStatus as refused:
            raise Refused(refused.response.status_code) from refused
        try:
            yield _AsyncWebsockets(runner, connection)
        finally:
            runner.run(connection.close())


class _Aiohttp(_OnLoop):
    def __init__(self, runner: asyncio.Runner, connection: aiohttp.ClientWebSocketResponse) -> None:
        super().__init__(runner)
        self._connection = connection

    def subprotocol(self) -> str | None:
        return self._connection.protocol

    def send(self, message: Message) -> None:
        if isinstance(message, str):
            self.run(self._connection.send_str(message))
        else:
            self.run(self._connection.send_bytes(message))

    def receive(self) -> Message:
        message = self._next()
        assert message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}, message
        data: Message = message.data
        return data

    def ping(self, payload: bytes) -> bytes:
        self.run(self._connection.ping(payload))
        message = self._next()
        assert message.type is aiohttp.WSMsgType.PONG, message
        return bytes(message.data)

    def close(self, code: int, reason: str) -> int:
        self.run(self._connection.close(code=code, message=reason.encode()))
        return self._connection.close_code or 1005

    def closed(self) -> tuple[int, str]:
        message = self._next()
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return message.data, message.extra or ""

    def _next(self) -> aiohttp.WSMessage:
        while (message := self.run(self._connection.receive())).type is aiohttp.WSMsgType.PING:
            self.run(self._connection.pong(message.data))
        return message


@contextmanager
def aiohttp_client(url: str) -> Iterator[Session]:
    """The client of aiohttp. It shows pongs only to those who answer pings themselves."""
    with asyncio.Runner() as runner:

        async def connect() -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
            session = aiohttp.ClientSession()
            try:
                return session, await session.ws_connect(url, max_msg_size=0, autoping=False)
            except BaseException:
                await session.close()
                raise

        try:
            session, connection = runner.run(connect())
        except aiohttp.WSServerHandshakeError as refused:
            raise Refused(refused.status) from refused
        try:
            yield _Aiohttp(runner, connection)
        finally:
            runner.run(connection.close())
            runner.run(session.close())


class _WebsocketClient(Session):
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def subprotocol(self) -> str | None:
        subprotocol: str | None = self._connection.getsubprotocol()
        return subprotocol

    def send(self, message: Message) -> None:
        opcode = websocket.ABNF.OPCODE_TEXT if isinstance(message, str) else websocket.ABNF.OPCODE_BINARY
        self._connection.send(message, opcode)

    def receive(self) -> Message:
        opcode, data = self._connection.recv_data()
        assert opcode in {websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY}, (opcode, data)
        return data.decode() if opcode == websocket.ABNF.OPCODE_TEXT else bytes(data)

    def ping(self, payload: bytes) -> bytes:
        self._connection.ping(payload)
        return self._control(websocket.ABNF.OPCODE_PONG)

    def close(self, code: int, reason: str) -> int:
        self._connection.send_close(code, reason.encode())
        return self.closed()[0]

    def closed(self) -> tuple[int, str]:
        data = self._control(websocket.ABNF.OPCODE_CLOSE)
        return (int.from_bytes(data[:2], "big"), data[2:].decode()) if data else (1005, "")

    def _control(self, wanted: int) -> bytes:
        """The payload of the next frame, which must be of that kind; pings of the server are passed over."""
        opcode, frame = self._connection.recv_data_frame(control_frame=True)
        while opcode == websocket.ABNF.OPCODE_PING:
            opcode, frame = self._connection.recv_data_frame(control_frame=True)
        assert opcode == wanted, (opcode, frame.data)
        return bytes(frame.data)


@contextmanager
def websocket_client(url: str) -> Iterator[Session]:
    """The package `websocket-client`."""
    try:
        connection: Any = websocket.create_connection(url, timeout=ANSWER_SECONDS)
    except websocket.WebSocketBadStatusException as refused:
        raise Refused(refused.status_code) from refused
    try:
        yield _WebsocketClient(connection)
    finally:
        connection.shutdown()


class _Npm(Session):
    def __init__(self, bridge: subprocess.Popen[str]) -> None:
        self._bridge = bridge
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        opened = self._event("open")
        self._subprotocol: str = opened["subprotocol"]

    def subprotocol(self) -> str | None:
        return self._subprotocol

    def send(self, message: Message) -> None:
        self._command("send", message)

    def receive(self) -> Message:
        event = self._event("message")
        return str(event["text"]) if "text" in event else b64decode(event["base64"])

    def ping(self, payload: bytes) -> bytes:
        self._command("ping", payload)
        return b64decode(self._event("pong")["base64"])

    def close(self, code: int, reason: str) -> int:
        self._tell({"op": "close", "code": code, "reason": reason})
        return self.closed()[0]

    def closed(self) -> tuple[int, str]:
        event = self._event("close")
        return event["code"], event["reason"]

    def _command(self, op: str, message: Message) -> None:
        data = {"text": message} if isinstance(message, str) else {"base64": b64encode(message).decode()}
        self._tell({"op": op, **data})

    def _tell(self, command: dict[str, Any]) -> None:
        assert self._bridge.stdin is not None
        self._bridge.stdin.write(json.dumps(command) + "\n")
        self._bridge.stdin.flush()

    def _read(self) -> None:
        assert self._bridge.stdout is not None
        for line in self._bridge.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def _event(self, wanted: str) -> dict[str, Any]:
        event = self._events.get(timeout=ANSWER_SECONDS)
        if event is not None and event["event"] == "refused":
            raise Refused(event["status"])
        assert event is not None and event["event"] == wanted, f"{event} instead of {wanted}"
        return event


def npm_ws(url: str, *, node: str, bridge: Path, modules: Path) -> AbstractContextManager[Session]:
    """The npm package `ws`: `bridge` is its driver, `modules` the folder that holds node_modules."""

    @contextmanager
    def connected() -> Iterator[Session]:
        with subprocess.Popen(
            [node, str(bridge), str(modules), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield _Npm(process)
            finally:
                process.kill()

    return connected()
