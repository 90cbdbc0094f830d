"""Metrics of calls to other chainlets, in the process's default registry, under the names of Truss Chains."""

from __future__ import annotations

from functools import cache
from threading import RLock
from typing import Protocol
from weakref import WeakSet

import prometheus_client

_LABEL = "dependency_chainlet"
_NAMES_MAX = 1000
_OTHER = "(other)"


class Line(Protocol):
    """The calls of one stub."""

    @property
    def ongoing(self) -> int:
        """Calls under way."""

    @property
    def queued(self) -> int:
        """Calls that wait."""


class CallCounts:
    """The calls to one chainlet, by every stub of the process.

    Attributes:
        total: All that ever began.
    """

    def __init__(self, total: prometheus_client.Counter) -> None:
        self.total = total
        self._lines: WeakSet[Line] = WeakSet()

    def add(self, line: Line) -> None:
        """Counts the calls of one more stub, for as long as it lives."""
        with _lock:
            self._lines.add(line)

    def ongoing(self) -> int:
        """Calls under way now."""
        with _lock:
            return sum(line.ongoing for line in self._lines)

    def queued(self) -> int:
        """Calls that wait now."""
        with _lock:
            return sum(line.queued for line in self._lines)


_counts: dict[str, CallCounts] = {}
_lock = RLock()


def counts_of(chainlet_name: str) -> CallCounts:
    """Returns the counts of a callee, by its display name; after the thousandth name all others share one."""
    with _lock:
        if chainlet_name not in _counts:
            if len(_counts) >= _NAMES_MAX:
                chainlet_name = _OTHER
            _counts.setdefault(chainlet_name, _made(chainlet_name))
        return _counts[chainlet_name]


def _made(chainlet_name: str) -> CallCounts:
    ongoing, queued, both, total = _families()
    counts = CallCounts(total.labels(chainlet_name))
    # The gauges read the counts only when somebody asks: a call pays nothing for them.
    ongoing.labels(chainlet_name).set_function(counts.ongoing)
    queued.labels(chainlet_name).set_function(counts.queued)
    both.labels(chainlet_name).set_function(lambda: counts.ongoing() + counts.queued())
    return counts


@cache
def _families() -> tuple[
    prometheus_client.Gauge, prometheus_client.Gauge, prometheus_client.Gauge, prometheus_client.Counter
]:
    return (
        prometheus_client.Gauge(
            "dependency_chainlet_ongoing_requests", "Calls to the chainlet that are under way.", [_LABEL]
        ),
        prometheus_client.Gauge(
            "dependency_chainlet_queued_requests", "Calls to the chainlet that wait for their turn.", [_LABEL]
        ),
        prometheus_client.Gauge(
            "dependency_chainlet_total_requests", "Calls to the chainlet that are under way or wait.", [_LABEL]
        ),
        prometheus_client.Counter(
            "dependency_chainlet_requests", "Calls to the chainlet since the process began.", [_LABEL]
        ),
    )
