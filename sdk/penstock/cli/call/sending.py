"""Sends messages from a source over a stream, and shows the replies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from penstock.cli.call.printer import Printer
from penstock.client import Stream

MESSAGES_WAITING_MAX = 16
"""Messages that were read and are not sent yet; reading waits beyond it."""


class Sending:
    """One run through the messages. Use it once."""

    def __init__(self, stream: Stream, printer: Printer, *, timeout_s: float, quiet_s: float) -> None:
        self._stream = stream
        self._printer = printer
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s
        self._queue: asyncio.Queue[str | bytes | Exception | None] = asyncio.Queue(MESSAGES_WAITING_MAX)
        self._loop = asyncio.get_running_loop()
        self._replied = asyncio.Event()

    async def run(self, messages: Iterator[str | bytes]) -> bool:
        """Returns when everything seems to be said; False when no reply came in time.

        Raises:
            ExceptionGroup: of a PenstockError, when the stream has ended.
        """
        # A daemon: nothing can end a read of standard input, and the stream may end before that.
        threading.Thread(target=self._read, args=(messages,), name="messages", daemon=True).start()
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(self._receive(), name="receive")
            failure: Exception | None = None
            while (message := await self._queue.get()) is not None:
                if isinstance(message, Exception):
                    failure = message
                    break
                await self._stream.send(message)
            was_answered = failure is not None or await self._until_quiet()
            receiving.cancel()
        if failure is not None:
            raise failure
        return was_answered

    async def _receive(self) -> None:
        while True:
            message = await self._stream.recv()
            self._replied.set()
            self._printer.message(message)

    async def _until_quiet(self) -> bool:
        if not await self._has_reply(self._timeout_s):
            return False
        while True:
            self._replied.clear()
            if not await self._has_reply(self._quiet_s):
                return True

    async def _has_reply(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._replied.wait()
        except TimeoutError:
            return False
        return True

    def _read(self, messages: Iterator[str | bytes]) -> None:
        item: str | bytes | Exception | None = None
        try:
            for item in messages:
                self._put(item)
            self._put(None)
        except RuntimeError:
            return  # the loop has ended, and so has the stream
        except Exception as exc:
            self._put(exc)

    def _put(self, item: str | bytes | Exception | None) -> None:
        asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop).result()
