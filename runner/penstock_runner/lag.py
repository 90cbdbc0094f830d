"""How late the model's event loop is: the time for which user code keeps it from everything else."""

from __future__ import annotations

import asyncio
import time

INTERVAL_S = 0.1
"""Time between two ticks: what blocks for less is seen only in part, and a tick costs some microseconds."""


class LoopLag:
    """A timer on the loop that notes how late it fires. `take` may be called from any thread.

    A loop that is blocked right now cannot fire; `take` then counts how long the tick is overdue, so a model that
    blocks for a minute is seen during that minute.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        # Both are replaced whole, never changed in place: reading them from another thread needs no lock.
        self._expected_at = 0.0
        self._largest_s = 0.0

    def start(self) -> None:
        """Begins; on the loop's thread."""
        self._schedule(time.monotonic())

    def stop(self) -> None:
        """Ends; on the loop's thread."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._expected_at = 0.0

    def take(self) -> float:
        """Returns the largest lag in seconds since the last call."""
        largest, self._largest_s = self._largest_s, 0.0
        expected_at = self._expected_at
        overdue = time.monotonic() - expected_at if expected_at else 0.0
        return max(largest, overdue, 0.0)

    def _schedule(self, now: float) -> None:
        self._expected_at = now + INTERVAL_S
        self._handle = self._loop.call_later(INTERVAL_S, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        self._largest_s = max(self._largest_s, now - self._expected_at)
        self._schedule(now)
