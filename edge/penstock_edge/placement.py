"""On which replica a new stream is tried. Pure.

The least utilised of the ready replicas is taken, at random among equals, cordoned ones last. Counts come from the
snapshot and are corrected by what this edge has opened and closed since. The runner has the last word: a replica that
refuses is marked and the next one is tried. A replica that cannot be reached is left out for 1 s, doubling to 30 s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from penstock.api.control.v1 import control_pb2

EJECTION_S_MIN = 1.0
"""First time for which an unreachable replica is left out."""

EJECTION_S_MAX = 30.0
"""Longest such time."""

REPORT_LAG_S = 3.0
"""After this time a report counts every stream of this edge: a runner reports at least every 2 s."""

REFUSAL_S = 3.0
"""Time for which a refusal holds when no report comes: with the controller away, a replica must not stay left out."""


@dataclass(slots=True)
class Candidate:
    """One replica as this edge sees it."""

    replica_id: str
    deployment_id: str
    address: str
    is_ready: bool
    is_cordoned: bool
    reported_active: int
    capacity: int
    local_delta: int = 0
    """Streams opened minus streams ended through this edge since the report."""
    changed_at: float = 0.0
    """When local_delta last changed."""
    own: int = 0
    """Streams of this edge that it holds. It holds no fewer, whatever an older report says."""
    full_until: float = 0.0
    """It has refused a stream since the report, for want of a slot."""
    draining_until: float = 0.0
    """It has said since the report that it admits no more."""
    ejected_until: float = 0.0
    ejection_s: float = 0.0
    """Length of the last ejection; 0 after it has answered."""

    @property
    def active(self) -> int:
        """Streams that it probably holds."""
        return max(self.own, self.reported_active + self.local_delta)

    @property
    def left_out_until(self) -> float:
        """When it may be tried, as far as refusals go."""
        return max(self.full_until, self.draining_until, self.ejected_until)


class Placement:
    """Every replica that the newest snapshot names.

    Args:
        choose_index: returns a random index below its argument; injected so that tests are deterministic.
    """

    def __init__(self, choose_index: Callable[[int], int]) -> None:
        self._choose_index = choose_index
        self._candidates: dict[str, Candidate] = {}
        self._by_deployment: dict[str, list[Candidate]] = {}

    def update(self, replicas: Iterable[control_pb2.ReplicaRoute], now: float, *, is_partial: bool) -> set[str]:
        """Takes a snapshot's replicas; a partial one removes nothing. Returns the ids that are gone."""
        fresh: dict[str, Candidate] = dict(self._candidates) if is_partial else {}
        for route in replicas:
            known = self._candidates.get(route.replica_id)
            candidate = Candidate(
                replica_id=route.replica_id,
                deployment_id=route.deployment_id,
                address=route.address,
                is_ready=route.state == control_pb2.REPLICA_STATE_READY,
                is_cordoned=route.cordoned,
                reported_active=route.active_streams,
                capacity=max(1, route.stream_capacity),
            )
            if known is not None:
                candidate.own = known.own
                if known.address == candidate.address:
                    candidate.ejected_until, candidate.ejection_s = known.ejected_until, known.ejection_s
                if known.reported_active == candidate.reported_active and now < known.changed_at + REPORT_LAG_S:
                    # Probably the report of before; it may not count what this edge did since.
                    candidate.local_delta, candidate.changed_at = known.local_delta, known.changed_at
            fresh[route.replica_id] = candidate
        gone = self._candidates.keys() - fresh.keys()
        self._candidates = fresh
        self._by_deployment = {}
        for candidate in fresh.values():
            self._by_deployment.setdefault(candidate.deployment_id, []).append(candidate)
        return set(gone)

    def candidate(self, replica_id: str) -> Candidate | None:
        """Finds a replica."""
        return self._candidates.get(replica_id)

    def candidates(self) -> Collection[Candidate]:
        """All replicas."""
        return self._candidates.values()

    def choose(self, deployment_id: str, tried: Collection[str], now: float) -> Candidate | None:
        """Returns the replica to try next, or None when none is left that may have a free slot.

        Args:
            tried: ids of replicas that this stream has been tried on.
            now: seconds on the clock of `unreachable`.
        """
        usable = [
            candidate
            for candidate in self._by_deployment.get(deployment_id, ())
            if candidate.is_ready
            and candidate.active < candidate.capacity
            and candidate.left_out_until <= now
            and candidate.replica_id not in tried
        ]
        if not usable:
            return None
        key = min((candidate.is_cordoned, candidate.active / candidate.capacity) for candidate in usable)
        best = [
            candidate for candidate in usable if (candidate.is_cordoned, candidate.active / candidate.capacity) == key
        ]
        return best[self._choose_index(len(best))] if len(best) > 1 else best[0]

    def ready_count(self, deployment_id: str, now: float) -> int:
        """Replicas of a deployment that admit streams."""
        return sum(
            candidate.is_ready and candidate.draining_until <= now
            for candidate in self._by_deployment.get(deployment_id, ())
        )

    def next_return(self, deployment_id: str, now: float) -> float | None:
        """When the first replica that is left out may be tried again; None when none is."""
        ends = [c.left_out_until for c in self._by_deployment.get(deployment_id, ()) if c.is_ready]
        return min((until for until in ends if until > now), default=None)

    def opened(self, replica_id: str, now: float) -> None:
        """A stream is being tried."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.own += 1
            candidate.local_delta += 1
            candidate.changed_at = now

    def answered(self, replica_id: str) -> None:
        """The replica has answered: the next ejection is a short one again."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.ejection_s = 0.0

    def refused(self, replica_id: str, now: float) -> None:
        """A try came to nothing: it holds no slot, and has freed none."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.own = max(0, candidate.own - 1)
            candidate.local_delta -= 1
            candidate.changed_at = now

    def ended(self, replica_id: str, now: float) -> None:
        """A placed stream is over, and its slot free."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.own = max(0, candidate.own - 1)
            candidate.local_delta -= 1
            candidate.changed_at = now
            candidate.full_until = 0.0

    def full(self, replica_id: str, now: float) -> None:
        """The replica refused for want of a slot."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.full_until = now + REFUSAL_S
            candidate.ejection_s = 0.0

    def draining(self, replica_id: str, now: float) -> None:
        """The replica said that it admits no more."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.draining_until = now + REFUSAL_S
            candidate.ejection_s = 0.0

    def unreachable(self, replica_id: str, now: float) -> None:
        """The replica could not be reached, or did not answer. Counts once, however many streams have met it."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None and candidate.ejected_until <= now:
            candidate.ejection_s = min(EJECTION_S_MAX, max(EJECTION_S_MIN, candidate.ejection_s * 2))
            candidate.ejected_until = now + candidate.ejection_s
