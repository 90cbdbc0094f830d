"""One conversation with another chainlet: whole messages both ways, as a stream of the trunk to an edge."""

from __future__ import annotations

import asyncio
from collections import deque
from io import BytesIO

from penstock.api.trunk.v1 import trunk_pb2
from penstock.chains.remote.trunk_call import RefusedError
from penstock.close_codes import ABNORMAL, EndCode
from penstock.errors import PenstockError, error_for
from penstock.trunk.batch import Kind
from penstock.trunk.stream import NO_SINK, Closing, TrunkStream

_BINARY = int(Kind.BINARY)
_TEXT = int(Kind.TEXT)
_MIDDLE = int(Kind.MIDDLE)
_LAST = int(Kind.LAST)


class TrunkConversation:
    """Sink of one message stream. Loop thread only; one task receives, any number send."""

    __slots__ = (
        "_closing",
        "_held_bytes",
        "_held_segments",
        "_inbox",
        "_loop",
        "_parts",
        "_reader",
        "_refusal",
        "_slot",
        "_stream",
        "_writers",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: TrunkStream) -> None:
        self._loop = loop
        self._stream = stream
        self._inbox: deque[tuple[bytes, int]] = deque()
        """Whole messages, and the bytes of credit that are returned with them; -1: none."""
        self._parts: BytesIO | None = None
        self._held_bytes = self._held_segments = 0
        """Segments whose credit waits until everything before them was taken."""
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._slot: asyncio.Future[None] = loop.create_future()
        self._refusal: trunk_pb2.RejectStream | None = None
        self._closing: Closing | None = None
        stream.sink = self

    # Calls of who talks

    async def opened(self) -> None:
        """Returns when the callee has given a slot.

        Raises:
            RefusedError: there is none.
            PenstockError: the way to the callee broke.
        """
        await self._slot
        if self._refusal is not None:
            raise RefusedError(self._refusal)
        if self._closing is not None and self._closing.code is EndCode.REPLICA_LOST and not self._stream.is_accepted:
            raise self._over(self._closing)

    async def send(self, data: bytes) -> None:
        """Sends one message; waits while the callee takes nothing.

        Raises:
            PenstockError: it is over.
        """
        if self._closing is not None:
            raise self._over(self._closing)
        if not self._stream.send(_BINARY, data):
            writer: asyncio.Future[None] = self._loop.create_future()
            self._writers.append(writer)
            await writer
            if self._closing is not None:
                raise self._over(self._closing)

    async def receive(self) -> bytes:
        """Returns the next message; those that came before the end are handed out first.

        Raises:
            PenstockError: it is over; COMPLETED when the callee has ended it well.
            RuntimeError: another task is receiving.
        """
        inbox = self._inbox
        while not inbox:
            if self._closing is not None:
                raise self._over(self._closing)
            if self._reader is not None and not self._reader.done():
                raise RuntimeError("cannot receive: another task is already waiting for a message of this conversation")
            self._reader = self._loop.create_future()
            await self._reader
        data, owed = inbox.popleft()
        if owed >= 0:
            self._stream.consumed(owed)
        if self._held_segments and not inbox:
            self._stream.consumed(self._held_bytes, self._held_segments)
            self._held_bytes = self._held_segments = 0
        return data

    def close(self) -> None:
        """Lets go of the stream; a callee that has not ended it is cancelled."""
        if self._closing is not None:
            self._stream.close(EndCode.CLIENT_CLOSED, 1000, discard=True)
        else:
            self._stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
        self._stream.sink = NO_SINK

    @staticmethod
    def _over(closing: Closing) -> PenstockError:
        # A handler may close the stream itself, which is as good an end as its return.
        is_well = closing.code is EndCode.MODEL_CLOSED and closing.close_code == 1000
        code = EndCode.COMPLETED if is_well else closing.code
        return error_for(code, closing.close_code, closing.reason or None)

    # Calls of the trunk

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """There is a slot."""
        self._opened()

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """There is none."""
        self._refusal = reject
        self._opened()

    def on_segment(self, kind: int, data: bytes) -> None:
        """A message or a part of one."""
        if kind <= _TEXT:
            self._inbox.append((data, len(data)))
        else:
            if kind < _MIDDLE or self._parts is None:
                self._parts = BytesIO()
            self._parts.write(data)
            # A message may be larger than the window, so the credit of its segments is returned before it is whole: at
            # once when everything before it was taken, else when it has been.
            if self._inbox:
                self._held_bytes += len(data)
                self._held_segments += 1
            else:
                self._stream.consumed(len(data))
            if kind != _LAST:
                return
            self._inbox.append((self._parts.getvalue(), -1))
            self._parts = None
        self._wake_reader()

    def on_close(self, closing: Closing) -> None:
        """The callee has ended it, or is lost."""
        self._closing = closing
        self._parts = None
        self._opened()
        self._wake_reader()
        self.on_writable()

    def on_writable(self) -> None:
        """What was queued is on its way."""
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    def _opened(self) -> None:
        if not self._slot.done():
            self._slot.set_result(None)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
