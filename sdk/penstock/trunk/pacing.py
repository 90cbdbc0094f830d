"""Decides how long a writer waits after a write, so that a sustained stream of small batches shares wake-ups.

At 9,600 messages a second every message would wake three threads in each process. One write a millisecond halves the
CPU per message and keeps the tail short. Below that rate waiting only adds delay, and batches that are large by
themselves need no help.

Clients that send only after an answer are slowed down by waiting: their rate falls when pacing begins. So pacing begins
on trial, and ends when it has cost throughput.
"""

from __future__ import annotations

INTERVAL_S = 0.001
"""Time between the starts of two writes while pacing. uvloop's timers have this grain."""

RATE_ON_MIN = 3_000.0
"""Items a second from which pacing starts. Below, a write costs less than the delay is worth."""

RATE_ON_MAX = 25_000.0
"""Items a second up to which pacing starts. Above, batches fill by themselves."""

RATE_OFF_MIN = 1_500.0
"""Items a second below which pacing stops; half of where it starts, so that it does not flap."""

ITEMS_ENOUGH = 32
"""A batch of so many items is worth a wake-up of its own: nothing is waited for behind it."""

BYTES_ENOUGH = 64 * 1024
"""The same for its size."""

MEASURE_S = 0.1
"""Time over which a rate is taken."""

RATE_KEPT_MIN = 0.85
"""Share of the rate before pacing that has to remain. Rates that do not depend on answers waver less than this."""

HOLD_OFF_S = 5.0
"""Time without pacing after it has cost throughput."""

RETRIAL_S = 20.0
"""Pacing pauses for one measurement after this time, so that it notices when the kind of load has changed. More often,
the measurements would show in the 99th percentile."""


class Pacer:
    """Keeps the rate of items and answers each write with a pause in seconds."""

    __slots__ = ("_hold_until", "_items", "_rate_before", "_retrial_at", "_since", "_windows", "is_pacing")

    def __init__(self, now: float) -> None:
        self._since = now
        self._items = 0
        self._rate_before = 0.0
        """Items a second in the measurement that started pacing."""
        self._windows = 0
        """Measurements since pacing started. The first is no verdict: it begins with what had piled up."""
        self._hold_until = now
        self._retrial_at = now
        self.is_pacing = False

    def wrote(self, items: int, size: int, started: float, now: float) -> float:
        """Counts a write. Returns how long to wait before the next, 0 when it may come at once.

        Args:
            items: in the batch that was written.
            size: of the batch, in bytes.
            started: when the write began; `now` is when it ended.
        """
        self._items += items
        elapsed = now - self._since
        if elapsed >= MEASURE_S:
            self._judge(self._items / elapsed, now)
            self._since = now
            self._items = 0
        if not self.is_pacing or items >= ITEMS_ENOUGH or size >= BYTES_ENOUGH:
            return 0.0
        return max(0.0, INTERVAL_S - (now - started))

    def _judge(self, rate: float, now: float) -> None:
        if not self.is_pacing:
            if RATE_ON_MIN <= rate <= RATE_ON_MAX and now >= self._hold_until:
                self.is_pacing = True
                self._rate_before = rate
                self._windows = 0
                self._retrial_at = now + RETRIAL_S
            return
        self._windows += 1
        if rate < RATE_OFF_MIN or now >= self._retrial_at:
            self.is_pacing = False
        elif self._windows == 2 and rate < RATE_KEPT_MIN * self._rate_before:
            self.is_pacing = False
            self._hold_until = now + HOLD_OFF_S
