"""One replica as one edge sees it: what was last reported, and what the edge itself did since. Pure."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

EJECTION_S_MIN = 1.0
"""First time for which an unreachable replica is left out."""

EJECTION_S_MAX = 30.0
"""Longest such time."""

PROBE_S = 1.0
"""Time for which others keep away while one stream tries a replica that could not be reached before."""

REPORT_LAG_S = 3.0
"""After this time a report counts every stream of this edge, and a newer one is overdue: a runner reports at least
every 2 s."""

REFUSAL_S = 3.0
"""Time for which a refusal holds when no report comes: with the controller away, a replica must not stay left out."""


class ReplicaReport(NamedTuple):
    """One replica as the newest snapshot tells of it."""

    replica_id: str
    deployment_id: str
    address: str
    is_ready: bool
    is_cordoned: bool
    active_streams: int
    stream_capacity: int
    age_s: float = 0.0
    """Time since the replica said so."""


class Candidate:
    """One replica as this edge sees it. What choices look at is kept up to date rather than computed for each."""

    __slots__ = (
        "active",
        "address",
        "capacity",
        "changed_at",
        "deployment_id",
        "draining_until",
        "ejected_until",
        "ejection_s",
        "full_until",
        "is_cordoned",
        "is_ready",
        "left_out_until",
        "load",
        "local_delta",
        "own",
        "probed_until",
        "refused_at",
        "replica_id",
        "reported_active",
        "reported_at",
    )

    def __init__(self, replica_id: str) -> None:
        self.replica_id = replica_id
        self.deployment_id = ""
        self.address = ""
        self.is_ready = False
        self.is_cordoned = False
        self.reported_active = 0
        self.reported_at = -inf
        """When the replica said so, on the clock of this edge."""
        self.capacity = 1
        self.local_delta = 0
        """Streams opened minus streams ended through this edge since the report."""
        self.changed_at = -inf
        """When local_delta last changed."""
        self.own = 0
        """Streams of this edge that it holds. It holds no fewer, whatever an older report says."""
        self.full_until = 0.0
        """It has refused a stream since the report, for want of a slot."""
        self.draining_until = 0.0
        """It has said since the report that it admits no more."""
        self.refused_at = -inf
        """When it last did either."""
        self.ejected_until = 0.0
        self.ejection_s = 0.0
        """Length of the last ejection; 0 after it has answered."""
        self.probed_until = 0.0
        """One stream tries it after an ejection."""
        self.active = 0
        """Streams that it probably holds."""
        self.load = 0.0
        """Share of its slots that they take, from 0; below 1 exactly when it probably has a free slot."""
        self.left_out_until = inf
        """When it may be tried, as far as its state and its refusals go; infinity while it is not ready."""

    def renew(self, report: ReplicaReport, now: float) -> None:
        """Takes a snapshot's news of it."""
        if self.address != report.address:
            self.address = report.address
            self.ejected_until = self.ejection_s = self.probed_until = 0.0
        self.reported_at = now - report.age_s
        if self.reported_at >= self.refused_at:
            self.full_until = self.draining_until = 0.0
        if self.reported_active != report.active_streams or now >= self.changed_at + REPORT_LAG_S:
            self.local_delta = 0
        # Else it is probably the report of before; it may not count what this edge did since.
        self.deployment_id = report.deployment_id
        self.is_ready = report.is_ready
        self.is_cordoned = report.is_cordoned
        self.reported_active = report.active_streams
        self.capacity = max(1, report.stream_capacity)
        self._recount()
        self._remark()

    def opened(self, now: float) -> None:
        """A stream of this edge is being tried on it."""
        self.own += 1
        self.local_delta += 1
        self.changed_at = now
        self._recount()
        if self.ejection_s:
            self.probed_until = now + PROBE_S
            self._remark()

    def left(self, now: float, *, frees_slot: bool) -> None:
        """A stream of this edge is not on it any more.

        Args:
            frees_slot: it had a slot, rather than was refused one.
        """
        self.own = max(0, self.own - 1)
        self.local_delta -= 1
        self.changed_at = now
        self._recount()
        if frees_slot:
            self.full_until = 0.0
            self._remark()

    def answered(self) -> bool:
        """It has admitted a stream. Returns whether others kept away because it could not be reached before."""
        if not self.ejection_s:
            return False
        self.ejection_s = self.probed_until = 0.0
        self._remark()
        return True

    def full(self, now: float) -> None:
        """It refused for want of a slot."""
        self.full_until = now + REFUSAL_S
        self._refused(now)

    def draining(self, now: float) -> None:
        """It said that it admits no more."""
        self.draining_until = now + REFUSAL_S
        self._refused(now)

    def _refused(self, now: float) -> None:
        self.refused_at = now
        self.ejection_s = self.probed_until = 0.0
        self._remark()

    def unreachable(self, now: float) -> None:
        """It could not be reached, or did not answer. Counts once, however many streams have met it."""
        if self.ejected_until <= now:
            self.ejection_s = min(EJECTION_S_MAX, max(EJECTION_S_MIN, self.ejection_s * 2))
            self.ejected_until = now + self.ejection_s
            self.probed_until = 0.0
            self._remark()

    def usable_at(self) -> float:
        """When it may be tried if nothing more is heard of it; infinity when only an end of a stream can help.

        A report that shows no free slot does not hold for ever. But there is none, whatever the age of the report,
        while this edge's own streams take them all.
        """
        if self.own >= self.capacity:
            return inf
        if self.active < self.capacity:
            return self.left_out_until
        return max(self.left_out_until, self.reported_at + REPORT_LAG_S)

    def _recount(self) -> None:
        self.active = max(self.own, self.reported_active + self.local_delta)
        self.load = self.active / self.capacity

    def _remark(self) -> None:
        self.left_out_until = (
            max(self.full_until, self.draining_until, self.ejected_until, self.probed_until) if self.is_ready else inf
        )
