"""One stream as its user sees it, whatever carries it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from penstock.client.carrier import Carrier, Message
from penstock.client.ends import StreamEnd, StreamEnded
from penstock.close_codes import REASON_BYTES_MAX

_ABANDON_CODE = 1001
_ABANDON_SECONDS = 1.0
"""How long leaving the block by an exception may take, so that a cancelled task does not linger."""


class Stream:
    """A conversation with a model: `async with client.stream("echo") as stream: …`.

    Entering opens it, leaving closes it. Messages are `str` (text) or `bytes` (binary). One task may receive while
    others send. Every method may be cancelled, also by `asyncio.timeout`: a cancelled `recv` loses no message.

    All methods raise a `penstock.PenstockError` that says how the stream ended, once it has.
    """

    def __init__(
        self, opener: Callable[[], Awaitable[Carrier]], *, close_timeout_s: float, open_streams: set[Stream]
    ) -> None:
        """Made by `Client.stream`. The stream is in `open_streams` while it is open."""
        self._opener = opener
        self._close_timeout_s = close_timeout_s
        self._open_streams = open_streams
        self._carrier: Carrier | None = None
        self._is_entered = False
        self._is_receiving = False

    async def __aenter__(self) -> Self:
        """Opens the stream: returns when a replica has taken it.

        Raises:
            PenstockError: The edge refuses, cannot be reached, or does not answer within the client's `open_timeout`.
        """
        if self._is_entered:
            raise RuntimeError("a stream can be opened only once; call client.stream() again")
        self._is_entered = True
        self._carrier = await self._opener()
        self._open_streams.add(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc_type is None:
                await self.close()
            else:
                # "Going away": the model sees that the client did not end the conversation as planned.
                await self._open_carrier().close(
                    _ABANDON_CODE, "", timeout_s=min(_ABANDON_SECONDS, self._close_timeout_s)
                )
        finally:
            self._open_streams.discard(self)

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Sends one message; waits while the model does not keep up.

        When cancelled, the message has either been sent whole or not at all.
        """
        carrier = self._open_carrier()
        if isinstance(message, bytearray | memoryview):
            message = bytes(message)
        elif not isinstance(message, str | bytes):
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}")
        try:
            await carrier.send(message)
        except StreamEnded as ended:
            raise ended.end.error() from ended.__cause__

    async def recv(self) -> Message:
        """Receives one message; waits for it.

        Raises:
            StreamClosedError: The stream has ended as one of the two sides wanted, and every message was taken.
            PenstockError: It has ended in another way.
        """
        try:
            return await self._receive()
        except StreamEnded as ended:
            raise ended.end.error() from ended.__cause__

    async def __aiter__(self) -> AsyncIterator[Message]:
        """The messages until the stream ends with code 1000; any other end raises as `recv` does."""
        while True:
            try:
                message = await self._receive()
            except StreamEnded as ended:
                if ended.end.is_normal:
                    return
                raise ended.end.error() from ended.__cause__
            yield message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Ends the stream, and waits for the other side to agree, at most the client's `close_timeout`.

        Messages that are still on their way are dropped. Does nothing when the stream has ended.

        Args:
            code: 1000, or 3000 to 4999 for an application's own meaning.
            reason: At most 123 bytes of UTF-8.
        """
        if code != 1000 and not 3000 <= code <= 4999:
            raise ValueError(f"a client may close with 1000 or 3000 to 4999, not {code}")
        if len(reason.encode()) > REASON_BYTES_MAX:
            raise ValueError(f"a close reason has at most {REASON_BYTES_MAX} bytes of UTF-8: {reason!r}")
        await self._open_carrier().close(code, reason, timeout_s=self._close_timeout_s)

    @property
    def close_code(self) -> int | None:
        """How the stream ended, as a WebSocket close code; 1006 without a close frame; None while it is open."""
        return None if self._end is None else self._end.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason that came with the end, maybe empty; None while the stream is open."""
        return None if self._end is None else self._end.reason

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the model chose of those offered."""
        return self._open_carrier().subprotocol

    @property
    def _end(self) -> StreamEnd | None:
        return None if self._carrier is None else self._carrier.end

    async def _receive(self) -> Message:
        carrier = self._open_carrier()
        if self._is_receiving:
            raise RuntimeError("another task is receiving from this stream")
        self._is_receiving = True
        try:
            return await carrier.recv()
        finally:
            self._is_receiving = False

    def _open_carrier(self) -> Carrier:
        if self._carrier is None:
            raise RuntimeError("the stream is not open: use `async with client.stream(…) as stream`")
        return self._carrier
