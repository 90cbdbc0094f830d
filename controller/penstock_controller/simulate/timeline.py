"""Virtual time: what happens next. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timeline:
    """Actions in the order of their times; those of one moment in the order in which they were planned."""

    __slots__ = ("_heap", "_planned", "now")

    def __init__(self) -> None:
        self.now = 0.0
        """Simulated seconds."""
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, when: float, action: Callable[..., object], *args: Any) -> None:
        """Plans `action(*args)`. A time in the past means now: time never goes back."""
        self._planned += 1
        heapq.heappush(self._heap, (max(when, self.now), self._planned, action, args))

    def after(self, seconds: float, action: Callable[..., object], *args: Any) -> None:
        """Plans `action(*args)` for `seconds` from now."""
        self._planned += 1
        heapq.heappush(self._heap, (self.now + max(0.0, seconds), self._planned, action, args))

    def run(self, until: float, count: int) -> int:
        """Does up to `count` things that are planned up to and including `until`. Returns how many it did.

        When nothing more is planned, the time is `until`.
        """
        heap, pop = self._heap, heapq.heappop
        for done in range(count):
            if not heap or heap[0][0] > until:
                self.now = max(self.now, until)
                return done
            self.now, _, action, args = pop(heap)
            action(*args)
        return count
