"""A request of a client as the model's side sees it: ASGI `receive` and `send` of an HTTP call on a trunk stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.stream import Closing, TrunkStream
from penstock_runner.predict.disconnect import EXTENSION, DisconnectSignal
from penstock_runner.stream import ClientDisconnectedError

HEAD_BODY_BYTES_MAX = 128 * 1024
"""A body up to this size goes with the head of its response."""

_BINARY = int(Kind.BINARY)
_ASGI = {"version": "3.0", "spec_version": "2.4"}


class RequestStream:
    """Sink of one trunk stream of TRANSPORT_HTTP, and its ASGI channels."""

    __slots__ = (
        "_body",
        "_head",
        "_is_body_whole",
        "_is_done",
        "_loop",
        "_readers",
        "_writers",
        "closing",
        "gone",
        "sent_close",
        "trunk_stream",
    )

    def __init__(
        self,
        trunk_stream: TrunkStream,
        request: trunk_pb2.OpenStream,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.trunk_stream = trunk_stream
        self._loop = loop
        self._body: deque[tuple[bytes, bool]] = deque()
        """Parts that the model has not taken, and whether their credit is owed to the edge."""
        self._is_body_whole = not request.body_follows
        if request.body or self._is_body_whole:
            self._body.append((request.body, False))
        self._head: tuple[int, list[Any]] | None = None
        self._is_done = False
        """The whole response was sent."""
        self._readers: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []
        self.gone = DisconnectSignal()
        """Set when the client has left before it had its response."""
        self.closing: Closing | None = None
        """How the client's side ended; None while it is open."""
        self.sent_close: EndCode | None = None
        """How this side ended; None while it is open."""

    # Calls of the trunk

    def on_segment(self, kind: int, data: bytes) -> None:
        """A part of the body; a whole empty message ends it."""
        if kind == _BINARY and not data:
            self._is_body_whole = True
            self.trunk_stream.consumed(0)
            if not self._body:
                self._body.append((b"", False))
            # Otherwise the last part that is taken tells of the end.
        else:
            self._body.append((data, True))
        self._wake(self._readers)

    def on_writable(self) -> None:
        """What was queued is on its way."""
        self._wake(self._writers)

    def on_close(self, closing: Closing) -> None:
        """The client has left, or the trunk is lost."""
        self.closing = closing
        if not self._is_done:
            self.gone.set()
        self._wake(self._readers)
        self._wake(self._writers)

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """Never called on this side."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """Never called on this side."""

    # Calls of the app

    async def receive(self) -> dict[str, Any]:
        """ASGI receive: the parts of the body, then `http.disconnect` once the client has left or has its response."""
        while not self._body:
            if self.closing is not None or self._is_done:
                return {"type": "http.disconnect"}
            await self._wait(self._readers)
        data, is_owed = self._body.popleft()
        if is_owed:
            self.trunk_stream.consumed(len(data))
        return {"type": "http.request", "body": data, "more_body": not self._is_body_whole or bool(self._body)}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI send. Waits while the client takes nothing.

        Raises:
            ClientDisconnectedError: the client has left.
        """
        message_type = message["type"]
        if message_type == "http.response.start":
            if self._head is not None or self._is_done:
                raise RuntimeError("the response has begun already")
            self._head = (message["status"], list(message.get("headers") or ()))
        elif message_type == "http.response.body":
            await self._send_body(message.get("body") or b"", bool(message.get("more_body")))
        else:
            raise RuntimeError(f"cannot send {message_type!r} as a part of a response")

    async def _send_body(self, body: bytes, more: bool) -> None:
        if self._head is None:
            raise RuntimeError("the body of a response stands behind its head")
        if self._is_done:
            raise RuntimeError("the response is complete already")
        if self.closing is not None:
            raise ClientDisconnectedError("the client has left")
        self._is_done = not more
        status, headers = self._head
        if status:
            self._head = (0, [])
            is_inline = len(body) <= HEAD_BODY_BYTES_MAX
            head = trunk_pb2.ResponseHead(
                status=status,
                headers=[common_pb2.Header(name=name.decode("latin-1"), value=value) for name, value in headers],
                body=bytes(body) if is_inline else b"",
                # A stream is one also when nothing was in it: only plain answers tell their length.
                body_follows=more or not is_inline or not any(name.lower() == b"content-length" for name, _ in headers),
            )
            is_sent = self.trunk_stream.send(_BINARY, head.SerializeToString())
            if is_inline:
                body = b""
        else:
            is_sent = True
        if body:
            is_sent = self.trunk_stream.send(_BINARY, bytes(body)) and is_sent
        if not more:
            self.close(EndCode.COMPLETED)
            self._wake(self._readers)
        if not is_sent:
            # Also behind the last part: the slot is held until it is on its way, so that no drain cuts it.
            await self._wait(self._writers)
            if more and self.closing is not None:
                raise ClientDisconnectedError("the client has left")

    def close(self, code: EndCode, reason: str = "") -> None:
        """Ends this side, behind everything that was sent. Only the first call counts."""
        if self.sent_close is None:
            self.sent_close = code
            self.trunk_stream.close(code, 1000, reason)

    async def _wait(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        waiters.append(waiter)
        await waiter

    @staticmethod
    def _wake(waiters: list[asyncio.Future[None]]) -> None:
        if not waiters:
            return
        woken = waiters[:]
        waiters.clear()
        for waiter in woken:
            if not waiter.done():
                waiter.set_result(None)


def make_scope(request: trunk_pb2.OpenStream, gone: DisconnectSignal) -> dict[str, Any]:
    """Builds the ASGI scope of a request.

    Args:
        gone: is set when the client leaves; the app then needs no task to learn of it.
    """
    raw_path = request.model_path
    path = raw_path.decode("latin-1")
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": "1.1",
        "method": request.method or "POST",
        "scheme": request.scheme or "http",
        "server": None,
        "client": (request.client.host, request.client.port) if request.HasField("client") else None,
        "root_path": "",
        "path": unquote(path) if "%" in path else path,
        "raw_path": raw_path,
        "query_string": request.query,
        "headers": [(header.name.encode("latin-1"), header.value) for header in request.headers],
        "path_params": {},
        "state": {},
        "extensions": {EXTENSION: gone},
    }
