"""Brings what a thread reads into the event loop, item by item."""

from __future__ import annotations

import asyncio
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """A bounded queue from one thread into the loop in which it is made.

    Args:
        size: Items that may wait; putting more waits.
    """

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[T] = asyncio.Queue()
        self._room = threading.Semaphore(size)
        self._is_closed = False

    def put(self, item: T) -> bool:
        """Puts an item, and waits for room; returns False when nobody will take it. For the thread."""
        self._room.acquire()
        if self._is_closed:
            return False
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:
            return False  # the loop has ended
        return True

    async def get(self) -> T:
        """Takes the next item; waits for it."""
        item = await self._items.get()
        self._room.release()
        return item

    def close(self) -> None:
        """Takes no more: a thread that waits for room goes on."""
        self._is_closed = True
        self._room.release()
