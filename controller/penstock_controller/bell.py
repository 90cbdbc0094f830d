"""Wakes every task that waits for a change."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung on every change. A task that checks its condition and then waits, without an await between, misses none."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        rung, self._event = self._event, asyncio.Event()
        rung.set()

    async def wait(self, timeout_s: float) -> bool:
        """Returns whether it rang within `timeout_s`."""
        event = self._event
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return False
        return True
