"""The mean of a load over a moving window of time."""

from __future__ import annotations

from bisect import bisect_right

TRIM_AT = 4096
"""Entries that are older than the window before they are dropped together, so that dropping costs little per entry."""


class MovingMean:
    """Time-weighted means of a load that changes in steps. Times are seconds that never go back."""

    def __init__(self, window_s: float) -> None:
        """Keeps what the last `window_s` seconds need."""
        self._window_s = window_s
        self._times: list[float] = []
        self._loads: list[float] = []
        self._areas: list[float] = []

    def record(self, now: float, load: float) -> None:
        """From `now` on the load is `load`."""
        if not self._times:
            area = 0.0
        elif load == self._loads[-1]:
            return
        else:
            area = self._area_until(now)
        self._times.append(now)
        self._loads.append(load)
        self._areas.append(area)
        self._trim(now)

    def mean(self, now: float, window_s: float | None = None) -> float:
        """Mean of the last `window_s` seconds (the whole window unless told), or of the time since the first record
        if that is shorter. 0 when nothing was recorded."""
        if not self._times:
            return 0.0
        since = max(now - (self._window_s if window_s is None else window_s), self._times[0])
        if now <= since:
            return self._loads[-1]
        return (self._area_until(now) - self._area_until(since)) / (now - since)

    def _area_until(self, at: float) -> float:
        index = bisect_right(self._times, at) - 1
        return self._areas[index] + self._loads[index] * (at - self._times[index])

    def _trim(self, now: float) -> None:
        """Drops what lies before the window, but for the entry that tells the load at its beginning."""
        old = bisect_right(self._times, now - self._window_s) - 1
        if old >= TRIM_AT:
            for values in (self._times, self._loads, self._areas):
                del values[:old]
