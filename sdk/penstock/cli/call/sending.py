"""Sends messages from a source over a stream, and shows the replies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

from penstock.cli.call.feed import Feed
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
        self._feed: Feed[str | bytes | Exception | None] = Feed(MESSAGES_WAITING_MAX)
        self._replied = asyncio.Event()

    async def run(self, messages: Iterator[str | bytes]) -> bool:
        """Returns when everything seems to be said; False when no reply came in time.

        Raises:
            ExceptionGroup: of a PenstockError, when the stream has ended.
        """
        # A daemon: nothing can end a read of standard input, and the stream may end before that.
        threading.Thread(target=self._read, args=(messages,), name="messages", daemon=True).start()
        failure: Exception | None = None
        was_answered = True
        try:
            async with asyncio.TaskGroup() as group:
                receiving = group.create_task(self._receive(), name="receive")
                failure = await self._send_all()
                was_answered = failure is not None or await self._until_quiet()
                receiving.cancel()
        finally:
            self._feed.close()
        if failure is not None:
            raise failure
        return was_answered

    async def _send_all(self) -> Exception | None:
        """Returns why the source broke off; None when it has come to its end."""
        while (message := await self._feed.get()) is not None:
            if isinstance(message, Exception):
                return message
            await self._stream.send(message)
        return None

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
        last: Exception | None = None
        try:
            for message in messages:
                if not self._feed.put(message):
                    return
        except Exception as exc:
            # It is raised where somebody can tell it.
            last = exc
        self._feed.put(last)
