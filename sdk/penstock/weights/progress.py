"""How far a fetch is, as lines for people."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

INTERVAL_S = 1.0
"""Between two lines of one fetch."""
RATE_WINDOW_S = 10.0
"""Time over which the rate is taken."""
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Progress:
    """Counts bytes and says every INTERVAL_S at most how far they are. Pure: takes the time in seconds, gives lines."""

    def __init__(self, what: str, *, total: int | None, now: float) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._start = now
        self._line_at = now
        self._marks: deque[tuple[float, int]] = deque([(now, 0)])
        self._received = 0

    def skip(self, count: int) -> None:
        """Takes `count` bytes that are there already: done, but not part of the rate. Negative when they are lost."""
        self._done += count

    def add(self, count: int, now: float) -> str | None:
        """Takes `count` received bytes; returns a line when one is due."""
        self._done += count
        self._received += count
        if now - self._line_at < INTERVAL_S:
            return None
        self._line_at = now
        self._marks.append((now, self._received))
        while len(self._marks) > 2 and now - self._marks[1][0] >= RATE_WINDOW_S:
            self._marks.popleft()
        return self._line(now)

    def last(self, now: float) -> str:
        """Returns the line for a fetch that is complete."""
        took = max(now - self._start, 0.0)
        rate = f", {size_text(self._received / took)}/s" if self._received and took > 0 else ""
        return f"{self._what}: {size_text(self._done)} complete in {duration_text(took)}{rate}"

    def _line(self, now: float) -> str:
        began, received = self._marks[0]
        rate = (self._received - received) / (now - began) if now > began else 0.0
        speed = f"{size_text(rate)}/s"
        if not self._total:
            return f"{self._what}: {size_text(self._done)}, {speed}"
        left = max(self._total - self._done, 0)
        eta = f"{duration_text(left / rate)} left" if rate > 0 else "stalled"
        percent = min(100 * self._done // self._total, 100)
        return f"{self._what}: {size_text(self._done)} of {size_text(self._total)} ({percent} %), {speed}, {eta}"


class SharedProgress:
    """A Progress that several threads feed, and that reports its lines."""

    def __init__(
        self,
        what: str,
        *,
        total: int | None,
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._progress = Progress(what, total=total, now=clock())

    def skip(self, count: int) -> None:
        """See Progress.skip."""
        with self._lock:
            self._progress.skip(count)

    def add(self, count: int) -> None:
        """Takes `count` received bytes."""
        with self._lock:
            line = self._progress.add(count, self._clock())
        if line:
            self._report(line)

    def finish(self) -> None:
        """Reports that all is there."""
        with self._lock:
            line = self._progress.last(self._clock())
        self._report(line)


def size_text(count: float) -> str:
    """Returns a number of bytes for people, for example "1.5 GiB"."""
    value = float(count)
    for unit in UNITS:
        if value < 1024 or unit == UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit takes every value")


def duration_text(seconds: float) -> str:
    """Returns a time for people, for example "2 min 5 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
