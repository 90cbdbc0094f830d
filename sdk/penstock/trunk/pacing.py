"""Decides how long a writer waits after a write, so that a sustained stream of small batches shares wake-ups.

At 9,600 messages a second every message would wake three threads in each process. One write a millisecond halves the
CPU per message and keeps the tail short. Below that rate waiting only adds delay; far above it batches fill by
themselves while the previous write is under way.
"""

from __future__ import annotations

INTERVAL_S = 0.001
"""Time between two writes while pacing. uvloop's timers have this grain."""

RATE_ON_MIN = 3_000.0
"""Items a second from which pacing starts. Below, a write costs less than the delay is worth."""

RATE_ON_MAX = 25_000.0
"""Items a second up to which pacing starts. Above, batches fill by themselves."""

RATE_OFF_MIN = 1_500.0
"""Items a second below which pacing stops; half of where it starts, so that it does not flap."""

RATE_OFF_MAX = 40_000.0
"""Items a second above which pacing stops."""

MEASURE_S = 0.05
"""Time over which the rate is taken."""


class Pacer:
    """Keeps the rate of items and answers each write with a pause in seconds."""

    __slots__ = ("_items", "_since", "is_pacing")

    def __init__(self, now: float) -> None:
        self._since = now
        self._items = 0
        self.is_pacing = False

    def wrote(self, items: int, now: float) -> float:
        """Counts a write of `items`. Returns how long to wait before the next, 0 when it may come at once."""
        self._items += items
        elapsed = now - self._since
        if elapsed >= MEASURE_S:
            rate = self._items / elapsed
            if self.is_pacing:
                self.is_pacing = RATE_OFF_MIN <= rate <= RATE_OFF_MAX
            else:
                self.is_pacing = RATE_ON_MIN <= rate <= RATE_ON_MAX
            self._since = now
            self._items = 0
        return INTERVAL_S if self.is_pacing else 0.0
