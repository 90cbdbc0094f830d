"""Results that a model yields: from its generator into a bounded buffer, and from there to the client.

Two sides, because the generator does not wait for the client (truss.md section 2.2): the permit of `predict` is held
only until everything is generated. A client that leaves does not end the generator either; what it yields is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import copy_context
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from starlette.types import Send

from penstock_runner.predict.permits import Permit
from penstock_runner.predict.responses import encode_item
from penstock_runner.predict.threads import ThreadPool

BUFFER_BYTES_MAX = 64 * 1024 * 1024
"""What one stream may hold for a client that reads slowly: 20 minutes of speech, more text than anybody reads. Then the
generator waits, and with it whoever waits for its permit."""
ITEM_OVERHEAD_BYTES = 64
"""What an item counts besides its content, so that empty items fill the buffer too."""
LEFTOVERS_MAX = 64
"""Generators that may go on after their stream was cut, per replica; beyond that a cut one is cancelled."""
MEDIA_TYPE = b"application/octet-stream"
"""Of a generator that names none itself, as those of chainlets do (`penstock_media_type`)."""

END: Any = object()
"""What `next_item` returns after the last item."""

# The first two are found at once; the others stand for generators that are written as classes.
_GENERATORS = (GeneratorType, AsyncGeneratorType, Generator, AsyncGenerator)


class ResponseCutError(Exception):
    """The response has begun and cannot be completed; the client must see that."""


class StreamReadTimeoutError(ResponseCutError, TimeoutError):
    """The model has yielded nothing for `runtime.streaming_read_timeout`."""


def is_stream(result: object) -> bool:
    """Whether `result` is a generator, of either kind."""
    return isinstance(result, _GENERATORS)


class ItemSource:
    """The items of a generator, one by one. Each step of a synchronous one runs in a thread, in one context for all."""

    __slots__ = ("_context", "_generator", "_threads")

    def __init__(self, generator: Any, threads: ThreadPool) -> None:
        self._generator = generator
        self._threads = None if isinstance(generator, AsyncGenerator) else threads
        self._context = copy_context()

    async def next_item(self) -> Any:
        """Returns what the generator yields next, or END."""
        if self._threads is not None:
            return await self._threads.submit(next, self._generator, END, context=self._context)
        try:
            return await self._generator.__anext__()
        except StopAsyncIteration:
            return END

    async def close(self) -> None:
        """Ends the generator, which runs its cleanup. Nothing happens when it has ended."""
        if self._threads is not None:
            await self._threads.submit(self._generator.close, context=self._context)
        else:
            await self._generator.aclose()


class ItemBuffer:
    """Encoded items between one producer and one consumer, about `bytes_max` of them."""

    __slots__ = ("_bytes", "_bytes_max", "_is_dropping", "_is_ended", "_items", "_loop", "_reader", "_writer")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._items: deque[bytes] = deque()
        self._bytes = 0
        self._is_ended = False
        self._is_dropping = False
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    async def put(self, item: bytes) -> None:
        """Adds an item. Waits while the buffer is over-full, unless nobody wants the items any more.

        Lets the event loop run once: a generator that never suspends would send nothing before it has ended.
        """
        if not self._is_dropping:
            self._items.append(item)
            self._bytes += len(item) + ITEM_OVERHEAD_BYTES
            _wake(self._reader)
        await asyncio.sleep(0)
        while self._bytes > self._bytes_max and not self._is_dropping:
            self._writer = self._loop.create_future()
            await self._writer

    def end(self) -> None:
        """Nothing follows."""
        self._is_ended = True
        _wake(self._reader)

    def drop(self) -> None:
        """Nobody will take what is there or what will come."""
        self._is_dropping = True
        self._items.clear()
        _wake(self._writer)

    async def get(self, timeout_s: float) -> bytes | None:
        """Returns the next item, or None after the last.

        Raises:
            StreamReadTimeoutError: None came for `timeout_s`.
        """
        items = self._items
        while not items:
            if self._is_ended:
                return None
            reader = self._reader = self._loop.create_future()
            timer = self._loop.call_later(timeout_s, _expire, reader, timeout_s)
            try:
                await reader
            finally:
                timer.cancel()
        item = items.popleft()
        self._bytes -= len(item) + ITEM_OVERHEAD_BYTES
        if self._writer is not None and self._bytes <= self._bytes_max:
            _wake(self._writer)
        return item


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _expire(reader: asyncio.Future[None], timeout_s: float) -> None:
    if not reader.done():
        reader.set_exception(
            StreamReadTimeoutError(f"the model yielded nothing for {timeout_s:g} s (runtime.streaming_read_timeout)")
        )


class Streamer:
    """Sends what generators yield, for all requests of a replica.

    Args:
        read_timeout_s: Longest time between two items.
        buffer_bytes_max: What one stream may hold for its client.
        on_failure: Called with what a generator raised. Its stream ends there as if it were complete (truss.md section
            10.7).
    """

    def __init__(
        self,
        threads: ThreadPool,
        read_timeout_s: float,
        on_failure: Callable[[BaseException], object],
        *,
        buffer_bytes_max: int = BUFFER_BYTES_MAX,
    ) -> None:
        self._threads = threads
        self._buffer_bytes_max = buffer_bytes_max
        self._read_timeout_s = read_timeout_s
        self._on_failure = on_failure
        self._leftovers: set[asyncio.Task[None]] = set()

    @property
    def leftovers(self) -> int:
        """Generators that go on although their stream was cut."""
        return len(self._leftovers)

    async def send(self, generator: Any, permit: Permit | None, send: Send) -> None:
        """Sends a response of status 200 with one part of the body per item; releases `permit` after the last item.

        A client that leaves is no reason to stop: this returns when the generator has ended. A cancellation ends the
        generator, at the latest at its next item if it is a synchronous one.

        Raises:
            StreamReadTimeoutError: The generator took too long for an item, and is left to itself. It keeps its permit.
            OSError: The client had left.
        """
        buffer = ItemBuffer(self._buffer_bytes_max)
        source = ItemSource(generator, self._threads)
        producer = asyncio.get_running_loop().create_task(self._produce(source, buffer))
        if permit is not None:
            # Not in `_produce`: a task that is cancelled before its first step runs none of it.
            producer.add_done_callback(lambda _producer: permit.release())
        try:
            gone = await self._consume(buffer, getattr(generator, "penstock_media_type", MEDIA_TYPE), send)
        except StreamReadTimeoutError:
            buffer.drop()
            self._leave(producer)
            raise
        except BaseException:
            producer.cancel()
            await _settled(producer)
            raise
        if gone is not None:
            raise gone

    async def gather(self, generator: Any) -> str:
        """Returns all items as one text, which is decoded once; raises what the generator raises."""
        source = ItemSource(generator, self._threads)
        parts = []
        try:
            while (item := await source.next_item()) is not END:
                parts.append(encode_item(item))
        except BaseException:
            await self._close(source)
            raise
        return b"".join(parts).decode(errors="replace")

    async def _consume(self, buffer: ItemBuffer, media_type: bytes, send: Send) -> OSError | None:
        gone: OSError | None = None
        try:
            headers = [(b"content-type", media_type)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while (item := await buffer.get(self._read_timeout_s)) is not None:
                await send({"type": "http.response.body", "body": item, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except StreamReadTimeoutError:
            raise
        except OSError as exc:
            gone = exc
        if gone is not None:
            while await buffer.get(self._read_timeout_s) is not None:
                pass
        return gone

    async def _produce(self, source: ItemSource, buffer: ItemBuffer) -> None:
        try:
            while (item := await source.next_item()) is not END:
                await buffer.put(encode_item(item))
        except asyncio.CancelledError as exc:
            await self._close(source)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Nobody has cancelled the generator: it has awaited something that was cancelled.
            self._on_failure(exc)
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            # SystemExit and KeyboardInterrupt of user code would end the loop, and with it every other stream.
            self._on_failure(exc)
            await self._close(source)
        finally:
            buffer.end()

    async def _close(self, source: ItemSource) -> None:
        try:
            await source.close()
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            self._on_failure(exc)

    def _leave(self, producer: asyncio.Task[None]) -> None:
        if len(self._leftovers) >= LEFTOVERS_MAX:
            producer.cancel()
        self._leftovers.add(producer)
        producer.add_done_callback(self._leftovers.discard)


async def _settled(task: asyncio.Task[None]) -> None:
    """Returns when `task` has ended, however that was; a further cancellation of the caller does not shorten it."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
