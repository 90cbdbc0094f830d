"""On which replica a new stream is tried. Pure; edges and the simulator run the same code.

Counts come from the snapshot and are corrected by what this edge has opened and closed since. Of the usable replicas
the least utilised is taken, at random among equals.

With old news, or beside many other edges, the best replica in the view of one edge is the best in the view of each, and
all would fill it at once. So the best of SAMPLE random replicas is taken then. When none of these is usable, all are
looked at, and the best of SAMPLE random ones of the usable is taken.

Packed, the most utilised replica with a free slot is taken, and always of all: that every edge takes the same is the
purpose. It costs a refusal now and then. Simulated with 20 edges, views that are 200 ms old, and 100 replicas of 8
slots half of which are in use: 46 replicas stay empty, with 2 refusals per 100 streams; by samples only 17 would.

Whatever the strategy, replicas are usable in this order, a later kind only when there is none of an earlier: those with
a free slot; cordoned ones with a free slot; those that were full by a report that is outdated; such that are cordoned.
Never usable are those that are not ready, that drain, that have refused since their last report, that cannot be
reached, and that hold as many streams of this edge as they have slots.

The runner has the last word: a replica that refuses is marked and the next one is tried. One that cannot be reached is
left out for 1 s, doubling to 30 s; after that a single stream tries it, until it has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from math import inf

from penstock.candidate import REPORT_LAG_S, Candidate, ReplicaReport

NEWS_S = 1.0
"""When the newest report on a deployment is older, other edges may have placed streams that this one knows nothing
of."""

MANY_EDGES = 3
"""From so many edges on, the view of each counts as old."""

SAMPLE = 3
"""Replicas that are compared when the view is old."""

_KINDS = 4
"""Kinds of usable replicas, from 0 in the order above."""


class PlacementStrategy(StrEnum):
    """How new streams are spread over the replicas of a deployment."""

    SPREAD = "spread"
    """The least utilised first."""
    PACKED = "packed"
    """The most utilised with a free slot first, so that the others empty."""


class _Group:
    """The replicas of one deployment."""

    __slots__ = ("members", "reported_at")

    def __init__(self) -> None:
        self.members: list[Candidate] = []
        self.reported_at = -inf
        """When the newest report on any of them was made."""


class Placement:
    """Every replica that the newest snapshot names.

    Args:
        choose_index: returns a random index below its argument; injected so that tests are deterministic.
    """

    def __init__(self, choose_index: Callable[[int], int]) -> None:
        self._choose_index = choose_index
        self._candidates: dict[str, Candidate] = {}
        self._departed: dict[str, Candidate] = {}
        """Those that the snapshot does not name any more and that still hold streams of this edge."""
        self._groups: dict[str, _Group] = {}
        self._edge_count = 0

    def update(
        self, replicas: Iterable[ReplicaReport], now: float, *, is_partial: bool, edge_count: int = 0
    ) -> set[str]:
        """Takes a snapshot's replicas; a partial one removes nothing. Returns the ids that are gone.

        Args:
            edge_count: edge processes that there are, this one included; 0 when it is not known.
        """
        fresh: dict[str, Candidate] = dict(self._candidates) if is_partial else {}
        for report in replicas:
            replica_id = report.replica_id
            candidate = self._candidates.get(replica_id) or self._departed.pop(replica_id, None)
            if candidate is None:
                candidate = Candidate(replica_id)
            candidate.renew(report, now)
            fresh[replica_id] = candidate
        gone = self._candidates.keys() - fresh.keys()
        for replica_id in gone:
            if self._candidates[replica_id].own:
                self._departed[replica_id] = self._candidates[replica_id]
        self._candidates = fresh
        self._groups = {}
        for candidate in fresh.values():
            group = self._groups.get(candidate.deployment_id)
            if group is None:
                group = self._groups[candidate.deployment_id] = _Group()
            group.members.append(candidate)
            if candidate.reported_at > group.reported_at:
                group.reported_at = candidate.reported_at
        self._edge_count = max(edge_count, self._edge_count) if is_partial else edge_count
        return set(gone)

    def candidate(self, replica_id: str) -> Candidate | None:
        """Finds a replica."""
        return self._candidates.get(replica_id)

    def candidates(self) -> Collection[Candidate]:
        """All replicas."""
        return self._candidates.values()

    def choose(
        self,
        deployment_id: str,
        tried: Collection[str],
        now: float,
        strategy: PlacementStrategy = PlacementStrategy.SPREAD,
    ) -> Candidate | None:
        """Returns the replica to try next, or None when none is left that may have a free slot.

        Args:
            tried: ids of replicas that this stream has been tried on.
            now: seconds on the clock of the other calls.
        """
        group = self._groups.get(deployment_id)
        if group is None:
            return None
        members = group.members
        if strategy is PlacementStrategy.PACKED:
            return self._any(_best(members, tried, now, -1.0))
        if len(members) <= SAMPLE or not self._is_view_old(group, now):
            return self._any(_best(members, tried, now, 1.0))
        best = None
        for _ in range(SAMPLE):
            one = members[self._choose_index(len(members))]
            if (
                one.left_out_until <= now
                and one.load < 1.0
                and not one.is_cordoned
                and one.replica_id not in tried
                and (best is None or one.load < best.load)
            ):
                best = one
        if best is not None:
            return best
        usable = _usable(members, tried, now)
        if len(usable) > SAMPLE:
            usable = [usable[self._choose_index(len(usable))] for _ in range(SAMPLE)]
        return self._any(_best(usable, (), now, 1.0))

    def _is_view_old(self, group: _Group, now: float) -> bool:
        if self._edge_count >= MANY_EDGES:
            return True
        # A lone edge has placed all there is: its own counts are exact, however old the report.
        return self._edge_count != 1 and now > group.reported_at + NEWS_S

    def _any(self, equals: list[Candidate]) -> Candidate | None:
        if len(equals) > 1:
            return equals[self._choose_index(len(equals))]
        return equals[0] if equals else None

    def ready_count(self, deployment_id: str, now: float) -> int:
        """Replicas of a deployment that admit streams."""
        return sum(candidate.is_ready and candidate.draining_until <= now for candidate in self._members(deployment_id))

    def next_return(self, deployment_id: str, now: float) -> float | None:
        """When the first replica that is left out may be tried again; None when none is."""
        return min((at for one in self._members(deployment_id) if now < (at := one.usable_at()) < inf), default=None)

    def _members(self, deployment_id: str) -> list[Candidate]:
        group = self._groups.get(deployment_id)
        return [] if group is None else group.members

    def opened(self, replica_id: str, now: float) -> None:
        """A stream is being tried."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.opened(now)

    def answered(self, replica_id: str) -> bool:
        """The replica has answered: the next ejection is a short one again. Returns whether others kept away from it
        until now, because it could not be reached before."""
        candidate = self._candidates.get(replica_id)
        return candidate is not None and candidate.answered()

    def refused(self, replica_id: str, now: float) -> None:
        """A try came to nothing: it holds no slot, and has freed none."""
        self._left(replica_id, now, frees_slot=False)

    def ended(self, replica_id: str, now: float) -> None:
        """A placed stream is over, and its slot free."""
        self._left(replica_id, now, frees_slot=True)

    def _left(self, replica_id: str, now: float, *, frees_slot: bool) -> None:
        candidate = self._candidates.get(replica_id) or self._departed.get(replica_id)
        if candidate is not None:
            candidate.left(now, frees_slot=frees_slot)
            if not candidate.own:
                self._departed.pop(replica_id, None)

    def full(self, replica_id: str, now: float) -> None:
        """The replica refused for want of a slot."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.full(now)

    def draining(self, replica_id: str, now: float) -> None:
        """The replica said that it admits no more."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.draining(now)

    def unreachable(self, replica_id: str, now: float) -> None:
        """The replica could not be reached, or did not answer. Counts once, however many streams have met it."""
        candidate = self._candidates.get(replica_id)
        if candidate is not None:
            candidate.unreachable(now)


# A choice among many replicas costs what these two passes cost; hence they are spelled out.


def _best(members: list[Candidate], tried: Collection[str], now: float, sign: float) -> list[Candidate]:
    """Returns the replicas that come first, all with the same load.

    Args:
        sign: 1 for the least utilised, -1 for the most utilised.
    """
    best: list[Candidate] = []
    best_kind, best_key = _KINDS, inf
    for one in members:
        if one.left_out_until > now:
            continue
        key = one.load
        if key < 1.0:
            kind = 1 if one.is_cordoned else 0
            key *= sign
        elif one.reported_at + REPORT_LAG_S <= now and one.own < one.capacity:
            # The less it was overfull, the likelier it has a slot now, whatever the strategy.
            kind = 3 if one.is_cordoned else 2
        else:
            continue
        if kind > best_kind or (kind == best_kind and key > best_key) or one.replica_id in tried:
            continue
        if kind == best_kind and key == best_key:
            best.append(one)
        else:
            best, best_kind, best_key = [one], kind, key
    return best


def _usable(members: list[Candidate], tried: Collection[str], now: float) -> list[Candidate]:
    """Returns the replicas of the first kind of which there are any."""
    usable: list[Candidate] = []
    best_kind = _KINDS
    for one in members:
        if one.left_out_until > now:
            continue
        if one.load < 1.0:
            kind = 1 if one.is_cordoned else 0
        elif one.reported_at + REPORT_LAG_S <= now and one.own < one.capacity:
            kind = 3 if one.is_cordoned else 2
        else:
            continue
        if kind > best_kind or one.replica_id in tried:
            continue
        if kind < best_kind:
            usable, best_kind = [], kind
        usable.append(one)
    return usable
