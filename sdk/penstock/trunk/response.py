"""The response to a request on a trunk, on the side that has asked: its head, then its parts, then its end."""

from __future__ import annotations

import asyncio
from collections import deque

from google.protobuf.message import DecodeError

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.stream import Closing, TrunkStream

_BINARY = int(Kind.BINARY)
_TEXT = int(Kind.TEXT)
_LAST = int(Kind.LAST)


class ResponseStream:
    """Sink of one stream of TRANSPORT_HTTP. Loop thread only; one task awaits it.

    Who makes it sets `_stream` when there is a slot, and says in `_failure_of` what is raised.
    """

    __slots__ = (
        "_body_writable",
        "_closing",
        "_failure",
        "_head",
        "_in_head",
        "_loop",
        "_parts",
        "_stream",
        "_waiter",
        "bytes_in",
        "bytes_out",
        "messages_out",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stream: TrunkStream | None = None
        self._head: trunk_pb2.ResponseHead | None = None
        self._in_head: bytearray | None = None
        self._parts: deque[tuple[bytes, int]] = deque()
        """Parts of the response's body, and the kind of the item in which each came."""
        self._closing: Closing | None = None
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._body_writable: asyncio.Future[None] | None = None
        self.bytes_in = self.bytes_out = self.messages_out = 0
        """Of the request's body; of the response, its head included; items of the response behind its head."""

    def _failure_of(self, code: EndCode, text: str = "") -> Exception:
        """Returns what is raised when the response ends with `code`; an empty text stands for that of the table."""
        raise NotImplementedError

    def _head_came(self, head: trunk_pb2.ResponseHead) -> None:
        """The response has begun."""

    # Calls of who asks

    async def head(self) -> trunk_pb2.ResponseHead:
        """Returns the head of the response. Its body is the first part; with `body_follows` more come by `next_part`.

        Raises:
            Exception: there is no response; the kind is that of `_failure_of`, here and below.
        """
        while self._head is None:
            if self._failure is not None:
                raise self._failure
            await self._wait()
        return self._head

    async def next_part(self) -> bytes | None:
        """Returns the next part of the body, None after the last. Its credit goes back with the next call.

        Parts of the model up to 256 KiB come as the model has made them, larger ones in pieces.

        Raises:
            Exception: the rest will not come.
        """
        item = await self.next_piece()
        return None if item is None else item[0]

    async def next_item(self, bytes_max: int) -> bytes | None:
        """As `next_part`, but with every item as whole as the model has made it.

        Raises:
            Exception: the rest will not come, or the item has more than `bytes_max`.
        """
        whole = bytearray()
        while True:
            item = await self.next_piece()
            if item is None:
                return None
            data, kind = item
            if kind == _BINARY:
                return data
            whole += data
            if len(whole) > bytes_max:
                raise self._failure_of(EndCode.MESSAGE_TOO_BIG)
            if kind == _LAST:
                return bytes(whole)

    async def next_piece(self) -> tuple[bytes, int] | None:
        """As `next_part`, with what it is: BINARY stands for a whole item of the model, other kinds for a part of one.

        Raises:
            Exception: the rest will not come.
        """
        while not self._parts:
            if self._failure is not None:
                raise self._failure
            if self._closing is not None:
                return None
            await self._wait()
        data, kind = self._parts.popleft()
        if self._stream is not None:
            self._stream.consumed(len(data))
        return data, kind

    async def send_body(self, data: bytes) -> bool:
        """Sends a further part of the request's body; empty data ends it. Waits while the model takes nothing.

        Returns False when the model does not want it any more.
        """
        stream = self._stream
        if stream is None or self._closing is not None:
            return False
        self.bytes_in += len(data)
        if not stream.send(_BINARY, data):
            self._body_writable = self._loop.create_future()
            await self._body_writable
        return self._closing is None and self._failure is None

    # Sink of the stream

    def on_segment(self, kind: int, data: bytes) -> None:
        """A part of the response."""
        self.bytes_out += len(data)
        if self._head is not None:
            self.messages_out += kind <= _TEXT or kind == _LAST
            self._parts.append((data, kind))
            self._wake()
            return
        assert self._stream is not None
        self._stream.consumed(len(data))
        if kind != _BINARY:
            self._in_head = self._in_head or bytearray()
            self._in_head += data
            if kind != _LAST:
                return
            data = bytes(self._in_head)
            self._in_head = None
        try:
            head = trunk_pb2.ResponseHead.FromString(data)
        except DecodeError:
            self._fail(self._failure_of(EndCode.INTERNAL, "The replica's answer cannot be read."))
            return
        if not 200 <= head.status <= 599:
            text = f"The model answered with the status {head.status}, which is none of a response."
            self._fail(self._failure_of(EndCode.INTERNAL, text))
            return
        self._head = head
        self._head_came(head)
        self._wake()

    def on_close(self, closing: Closing) -> None:
        """The response is whole, or the replica is lost."""
        self._closing = closing
        if closing.code is not EndCode.COMPLETED:
            self._failure = self._failure or self._failure_of(closing.code, closing.reason)
        elif self._head is None:
            self._failure = self._failure_of(EndCode.INTERNAL, "The replica has sent no response.")
        self._wake()
        self.on_writable()

    def on_writable(self) -> None:
        """What was queued for the model is on its way."""
        waiter, self._body_writable = self._body_writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """There is a slot; who asks through an Opening learns of it there."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """There is no slot; as above."""

    def _fail(self, failure: Exception) -> None:
        """Ends the wait for the response; only the first failure is told."""
        if self._failure is None:
            self._failure = failure
        self._wake()
        self.on_writable()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
