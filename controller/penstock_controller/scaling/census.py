"""What one pass over the replicas of a deployment counts. It runs many times a second, for up to thousands of them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.observation import Observation

_READY = ReplicaState.READY
_STARTING = ReplicaState.STARTING
_DRAINING = ReplicaState.DRAINING


@dataclass(frozen=True, slots=True)
class Idle:
    """A replica that is ready, was heard of lately, and holds no slot."""

    replica_id: str
    since: float
    slots: int


@dataclass(frozen=True, slots=True)
class Census:
    """Counts of one moment.

    A suspect replica keeps its place and its streams, but what it can take now is not known. So it counts neither as
    free nor as busy nor as idle: others decide whether there is room, and streams that wait prove that there is none.
    """

    present: int
    """Replicas that keep their place: all but the draining."""
    starting: frozenset[str]
    startups: tuple[float, ...]
    """Of those that were starting at the census before and are ready now: how long it took, in seconds."""
    ready: int
    heard: int
    """Ready ones that are not suspect."""
    busy: int
    """Of those, the ones with at most one free slot (and at least one stream)."""
    free_slots: int
    """On the ready ones that are not suspect."""
    active_streams: int
    """On those that are present."""
    idle_since: Mapping[str, float]
    """The idle ones, and since when they have been seen so."""
    longest_idle: Idle | None
    """The first to go; the smallest id among equals."""
    unhealthy: int = 0
    """Those that would be ready, but for their health check. They keep their place, but are no capacity."""
    unhealthy_idle_since: Mapping[str, float] = field(default_factory=dict)
    """Those of them without streams, and since when they have been seen so."""


def count(
    observation: Observation,
    max_concurrency: int,
    now: float,
    *,
    idle_since: Mapping[str, float],
    starting: AbstractSet[str],
) -> Census:
    """Counts the replicas. `idle_since` and `starting` are those of the census before."""
    present = ready = heard = busy = free = active = unhealthy = 0
    still_starting: list[str] = []
    startups: list[float] = []
    idle: dict[str, float] = {}
    unhealthy_idle: dict[str, float] = {}
    longest: tuple[float, str] | None = None
    longest_slots = 0
    for replica in observation.replicas:
        state = replica.state
        if state is _DRAINING:
            continue
        present += 1
        streams = replica.active_streams
        active += streams
        if state is _STARTING:
            still_starting.append(replica.replica_id)
        if state is not _READY:
            continue
        if replica.unhealthy:
            unhealthy += 1
            if streams <= 0:
                unhealthy_idle[replica.replica_id] = idle_since.get(replica.replica_id, now)
            continue
        ready += 1
        if starting and replica.replica_id in starting:
            startups.append(replica.age_s)
        if replica.suspect:
            continue
        heard += 1
        # The smaller one holds: a new limit takes a moment to arrive, and a lowered one leaves old streams above it.
        slots = replica.stream_capacity
        if not 0 < slots < max_concurrency:
            slots = max_concurrency
        if streams < slots:
            free += slots - streams
        if streams <= 0:
            replica_id = replica.replica_id
            since = idle_since.get(replica_id, now)
            idle[replica_id] = since
            if longest is None or (since, replica_id) < longest:
                longest, longest_slots = (since, replica_id), slots
        elif streams >= slots - 1:
            busy += 1
    return Census(
        present=present,
        starting=frozenset(still_starting),
        startups=tuple(startups),
        ready=ready,
        heard=heard,
        busy=busy,
        free_slots=free,
        active_streams=active,
        idle_since=idle,
        longest_idle=None if longest is None else Idle(longest[1], longest[0], longest_slots),
        unhealthy=unhealthy,
        unhealthy_idle_since=unhealthy_idle,
    )
