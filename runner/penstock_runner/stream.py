"""A stream as the model's side sees it: an ASGI `receive` and `send` on top of a trunk stream.

The ASGI WebSocket specification names the messages. Both coroutines run without suspending while data and credit are
at hand, which is the common case.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping
from io import BytesIO
from typing import Any

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode, may_be_sent
from penstock.trunk.batch import Kind
from penstock.trunk.stream import Closing, TrunkStream

_BINARY = int(Kind.BINARY)
_TEXT = int(Kind.TEXT)
_BINARY_FIRST = int(Kind.BINARY_FIRST)
_TEXT_FIRST = int(Kind.TEXT_FIRST)
_LAST = int(Kind.LAST)
_JOINED_BINARY = 101
_JOINED_TEXT = 102
"""Kinds of messages in the inbox that were put together from segments; their credit is returned separately."""
_FIRST = frozenset({_BINARY_FIRST, _TEXT_FIRST})
_IN_BYTES = frozenset({_BINARY, _JOINED_BINARY})


class ClientDisconnectedError(OSError):
    """The client has left. Starlette turns it into `WebSocketDisconnect(1006)`."""


class MessageTooBigError(RuntimeError):
    """The model tried to send a message above the limit; the stream was closed with 1009."""


class ModelStream:
    """Sink of one trunk stream, and its ASGI channels.

    Args:
        on_close: called once, when the client has left or the trunk is lost.
    """

    __slots__ = (
        "_deferred_bytes",
        "_deferred_segments",
        "_inbox",
        "_is_disconnect_told",
        "_loop",
        "_message_bytes_max",
        "_on_close",
        "_on_gone",
        "_parts",
        "_parts_kind",
        "_reader",
        "_writers",
        "closing",
        "receive_calls",
        "sent_close",
        "trunk_stream",
    )

    def __init__(
        self,
        trunk_stream: TrunkStream,
        loop: asyncio.AbstractEventLoop,
        message_bytes_max: int,
        on_close: Callable[[], None],
    ) -> None:
        self.trunk_stream = trunk_stream
        self._loop = loop
        self._message_bytes_max = message_bytes_max
        self._on_close: Callable[[], None] | None = on_close
        self._on_gone: Callable[[], object] | None = None
        self._inbox: deque[tuple[int, bytes]] = deque()
        self._parts: BytesIO | None = None
        """The message that is being put together. It grows in place: joining 100 MiB at once would stop the loop for
        60 ms, and `getvalue` does not copy."""
        self._parts_kind = 0
        self._deferred_bytes = 0
        """Bytes of segments whose credit waits until the model has taken everything before them."""
        self._deferred_segments = 0
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] | None = None
        self._is_disconnect_told = False
        self.closing: Closing | None = None
        """How the client's side ended; None while it is open."""
        self.sent_close: EndCode | None = None
        """How this side ended; None while it is open."""
        self.receive_calls = 0
        """Counts the model's calls of `receive`: a sign of life after the client has left."""

    @property
    def is_disconnect_told(self) -> bool:
        """Whether the model has been told that the client left, by `receive` or by a failed `send`."""
        return self._is_disconnect_told

    # Calls of the trunk

    def on_segment(self, kind: int, data: bytes) -> None:
        """Takes in a message or a part of one."""
        if kind <= _TEXT:
            self._inbox.append((kind, data))
        elif not self._join(kind, data):
            return
        reader = self._reader
        if reader is not None:
            self._reader = None
            if not reader.done():
                reader.set_result(None)

    def _join(self, kind: int, data: bytes) -> bool:
        """Collects segments; returns whether a message is whole.

        A message may be larger than the window, so credit has to be returned before it is whole: at once when the
        model has taken everything before it, else when it has.
        """
        if kind in _FIRST:
            self._parts = BytesIO()
            self._parts_kind = _JOINED_BINARY if kind == _BINARY_FIRST else _JOINED_TEXT
        assert self._parts is not None
        self._parts.write(data)
        if self._inbox:
            self._deferred_bytes += len(data)
            self._deferred_segments += 1
        else:
            self.trunk_stream.consumed(len(data))
        if kind != _LAST:
            return False
        self._inbox.append((self._parts_kind, self._parts.getvalue()))
        self._parts = None
        return True

    def on_close(self, closing: Closing) -> None:
        """The client has left, or the trunk is lost."""
        self.closing = closing
        self._parts = None
        if self._reader is not None:
            if not self._reader.done():
                self._reader.set_result(None)
            self._reader = None
        self._wake_writers()
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            self._is_disconnect_told = True
            on_gone()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def on_writable(self) -> None:
        """What was queued has gone."""
        self._wake_writers()

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """Never called on a runner."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """Never called on a runner."""

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, None
        for writer in writers or ():
            if not writer.done():
                writer.set_result(None)

    # Calls of the model

    def on_gone(self, callback: Callable[[], object]) -> None:
        """Has `callback` called as soon as the client has left, at once if it has.

        The model counts as told then, whatever it has not yet received: it may clean up.
        """
        if self.closing is None:
            self._on_gone = callback
        else:
            self._is_disconnect_told = True
            callback()

    async def receive(self) -> MutableMapping[str, Any]:
        """ASGI receive. Waits for a message; once the client has left and all was taken, tells of it, every time."""
        inbox = self._inbox
        self.receive_calls += 1
        while not inbox:
            if self.closing is not None:
                self._is_disconnect_told = True
                return {
                    "type": "websocket.disconnect",
                    "code": self.closing.close_code,
                    "reason": self.closing.reason,
                }
            if self._reader is not None and not self._reader.done():
                raise RuntimeError("cannot receive: another task of this handler is already waiting for a message")
            self._reader = self._loop.create_future()
            await self._reader
        kind, data = inbox.popleft()
        if kind <= _TEXT:
            self.trunk_stream.consumed(len(data))
        if self._deferred_segments and not inbox:
            self.trunk_stream.consumed(self._deferred_bytes, self._deferred_segments)
            self._deferred_bytes = self._deferred_segments = 0
        if kind in _IN_BYTES:
            return {"type": "websocket.receive", "bytes": data}
        return {"type": "websocket.receive", "text": str(data, "utf-8")}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI send. Waits while the client takes nothing.

        Raises:
            ClientDisconnectedError: the client has left.
            MessageTooBigError: the message exceeds the limit; the stream is closed.
        """
        message_type = message["type"]
        if message_type == "websocket.send":
            data = message.get("bytes")
            if data is not None:
                await self.send_message(_BINARY, data if type(data) is bytes else bytes(data))
            else:
                await self.send_message(_TEXT, message["text"].encode())
        elif message_type == "websocket.close":
            self.close_by_model(message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f"cannot send {message_type!r}: the connection has already been accepted")

    async def send_message(self, kind: int, data: bytes) -> None:
        """Sends one message; as `send`."""
        if self.closing is not None:
            self._is_disconnect_told = True
            raise ClientDisconnectedError("the client has left")
        if len(data) > self._message_bytes_max:
            row = TABLE[EndCode.MESSAGE_TOO_BIG]
            self.close(EndCode.MESSAGE_TOO_BIG, row.close_code, row.reason)
            raise MessageTooBigError(
                f"message of {len(data)} bytes exceeds the limit of {self._message_bytes_max} "
                "(penstock.limits.message_bytes_max)"
            )
        if self.trunk_stream.send(kind, data):
            return
        writer: asyncio.Future[None] = self._loop.create_future()
        if self._writers is None:
            self._writers = []
        self._writers.append(writer)
        await writer
        if self.closing is not None:
            self._is_disconnect_told = True
            raise ClientDisconnectedError("the client has left")

    def close_by_model(self, code: int, reason: str) -> None:
        """Closes as the model asks.

        Raises:
            RuntimeError: `code` may not stand in a close frame.
        """
        if not may_be_sent(code):
            raise RuntimeError(
                f"cannot close with code {code}: it may not stand in a close frame (RFC 6455 section 7.4)"
            )
        self.close(EndCode.MODEL_CLOSED, code, reason)

    def close(self, code: EndCode, close_code: int, reason: str) -> None:
        """Ends this side, behind everything that was sent. Only the first call counts."""
        if self.sent_close is None:
            self.sent_close = code
            self.trunk_stream.close(code, close_code, reason)
