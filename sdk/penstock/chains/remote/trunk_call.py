"""One request to another chainlet, as a stream of the trunk to an edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from penstock.api.trunk.v1 import trunk_pb2
from penstock.chains.remote.transport import Reply
from penstock.close_codes import ABNORMAL, EndCode, end
from penstock.errors import PenstockError, error_for
from penstock.trunk.batch import Kind
from penstock.trunk.response import ResponseStream
from penstock.trunk.stream import NO_SINK, Closing, TrunkStream

REPLY_BYTES_MAX = 1024 * 1024 * 1024
"""Largest response that is taken as a whole, and largest item of one that is streamed: the largest message that a
deployment may allow."""

_BINARY = int(Kind.BINARY)


class RefusedError(Exception):
    """There is no slot. Not seen outside of the transport."""

    def __init__(self, reject: trunk_pb2.RejectStream) -> None:
        super().__init__(reject.code)
        self.reject = reject


def refusal(reject: trunk_pb2.RejectStream) -> PenstockError:
    """Returns what a caller gets that found no slot."""
    error = error_for(reject.code, reason=reject.reason or None)
    if reject.retry_after_seconds:
        error.retry_after = float(reject.retry_after_seconds)
    return error


def cut_short(closing: Closing) -> PenstockError:
    """Returns what a caller gets whose response, or the rest of it, will not come."""
    row = end(closing.code)
    return error_for(row.code, reason=closing.reason or None)


class TrunkCall(ResponseStream):
    """A request with a slot, or on its way to one. One task awaits it, and closes it in any case."""

    __slots__ = ("_is_accepted", "_slot")

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: TrunkStream) -> None:
        super().__init__(loop)
        self._stream = stream
        self._is_accepted = False
        self._slot: asyncio.Future[None] | None = None
        stream.sink = self

    def _failure_of(self, code: EndCode, text: str = "") -> PenstockError:
        return error_for(code, reason=text or None)

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """There is a slot."""
        self._is_accepted = True
        self._wake_slot()

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """There is none."""
        self._fail(RefusedError(reject))

    def _fail(self, failure: Exception) -> None:
        super()._fail(failure)
        self._wake_slot()

    def on_close(self, closing: Closing) -> None:
        """The response is whole, or the callee is lost."""
        super().on_close(closing)
        self._wake_slot()

    def _wake_slot(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None and not slot.done():
            slot.set_result(None)

    async def send_rest(self, parts: Sequence[bytes]) -> None:
        """Sends the body, of which nothing went with the opening, when there is a slot.

        It returns early when the callee does not want it all; the response says why.
        """
        while not self._is_accepted and self._failure is None:
            self._slot = self._loop.create_future()
            await self._slot
        for part in parts:
            if not await self.send_body(part):
                return
        await self.send_body(b"")

    async def items(self) -> AsyncIterator[bytes]:
        """Yields the items of the response, each as the callee has made it.

        Raises:
            PenstockError: the rest will not come.
        """
        head = await self.head()
        if head.body:
            yield head.body
        while (item := await self.next_item(REPLY_BYTES_MAX)) is not None:
            if item:
                yield item

    def close(self) -> None:
        """Lets go of the stream; the callee's work is cancelled when its response has not come whole."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if self._closing is not None:
            stream.close(EndCode.COMPLETED, 1000, discard=True)
        else:
            stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
        stream.sink = NO_SINK


class WholeCall(TrunkCall):
    """A request whose response is wanted as a whole."""

    __slots__ = ("_rest", "_rest_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop, stream: TrunkStream) -> None:
        super().__init__(loop, stream)
        self._rest: list[bytes] | None = None
        self._rest_bytes = 0

    def on_segment(self, kind: int, data: bytes) -> None:
        """A part of the response: taken at once, so that nothing stops before the end."""
        if self._head is None:
            super().on_segment(kind, data)
            return
        if self._rest is None:
            self._rest = []
        self._rest.append(data)
        self._rest_bytes += len(data)
        if self._rest_bytes > REPLY_BYTES_MAX:
            self._fail(self._failure_of(EndCode.MESSAGE_TOO_BIG))
        elif self._stream is not None:
            self._stream.consumed(len(data))

    async def reply(self) -> Reply:
        """Returns the response.

        Raises:
            PenstockError: there is none, or not all of it.
            RefusedError: there is no slot.
        """
        while self._closing is None and self._failure is None:
            await self._wait()
        if self._failure is not None:
            raise self._failure
        head = self._head
        assert head is not None
        body = head.body
        if self._rest is not None:
            body = b"".join((body, *self._rest)) if body or len(self._rest) > 1 else self._rest[0]
        return Reply(head.status, headers_of(head), body)


def headers_of(head: trunk_pb2.ResponseHead) -> dict[str, str]:
    """Returns the headers of a response by name in lower case; of several of one name, the last."""
    return {header.name.lower(): header.value.decode("latin-1") for header in head.headers}
