"""A bounded queue between one owned task and the caller, where a cancelled wait loses nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class MailboxFinished(Exception):
    """Nothing can be put any more, or nothing is left to take."""


class Mailbox(Generic[T]):
    """First in, first out; bounded in bytes and in items. One waiting producer and one waiting consumer.

    An item larger than `bytes_max` is taken when the mailbox is empty.
    """

    def __init__(self, *, bytes_max: int, items_max: int) -> None:
        self._bytes_max = bytes_max
        self._items_max = items_max
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._is_finished = False
        self._is_discarding = False
        self._producer: asyncio.Future[None] | None = None
        self._consumer: asyncio.Future[None] | None = None

    async def put(self, item: T, size: int) -> None:
        """Waits for room, then appends. A cancelled wait has not appended.

        Raises:
            MailboxFinished: `finish` was called, also while waiting.
        """
        while not self._is_finished and not self._is_discarding and not self._has_room(size):
            if self._producer is not None:
                raise RuntimeError("one producer at a time")
            self._producer = asyncio.get_running_loop().create_future()
            try:
                await self._producer
            finally:
                self._producer = None
        if self._is_finished:
            raise MailboxFinished
        if not self._is_discarding:
            self._append(item, size)

    def put_last(self, item: T, size: int) -> None:
        """Appends whether or not there is room, and finishes; does nothing when finished."""
        if not self._is_finished:
            self._append(item, size)
            self.finish()

    async def get(self) -> T:
        """Takes the oldest item; waits for one. A cancelled wait has taken none.

        Raises:
            MailboxFinished: `finish` was called and every item is taken.
        """
        while not self._items:
            if self._is_finished:
                raise MailboxFinished
            if self._consumer is not None:
                raise RuntimeError("one consumer at a time")
            self._consumer = asyncio.get_running_loop().create_future()
            try:
                await self._consumer
            finally:
                self._consumer = None
        item, size = self._items.popleft()
        self._bytes -= size
        _wake(self._producer)
        return item

    def finish(self) -> None:
        """Nothing can be put from now on; what is there can still be taken. May be called again."""
        self._is_finished = True
        _wake(self._producer)
        _wake(self._consumer)

    def discard_further(self) -> None:
        """From now on `put` returns at once and drops its item, so that its caller never waits."""
        self._is_discarding = True
        _wake(self._producer)

    def _append(self, item: T, size: int) -> None:
        self._items.append((item, size))
        self._bytes += size
        _wake(self._consumer)

    def _has_room(self, size: int) -> bool:
        if not self._items:
            return True
        return self._bytes + size <= self._bytes_max and len(self._items) < self._items_max


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
