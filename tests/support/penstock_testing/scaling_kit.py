"""Observations and looks for tests of the scaling policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import ScalingConfig, ScalingSettings
from penstock_controller.scaling.decision import Decision, PolicyState
from penstock_controller.scaling.observation import Observation, ReplicaObservation
from penstock_controller.scaling.policy import decide

LEFT_OUT = -1


def ready(
    replica_id: str, streams: int = 0, slots: int = 8, *, suspect: bool = False, age_s: float = 0.0
) -> ReplicaObservation:
    return ReplicaObservation(replica_id, ReplicaState.READY, streams, slots, suspect, age_s)


def starting(replica_id: str, *, age_s: float = 0.0) -> ReplicaObservation:
    return ReplicaObservation(replica_id, ReplicaState.STARTING, age_s=age_s)


def failed(replica_id: str) -> ReplicaObservation:
    return ReplicaObservation(replica_id, ReplicaState.FAILED)


def draining(replica_id: str, streams: int = 0) -> ReplicaObservation:
    return ReplicaObservation(replica_id, ReplicaState.DRAINING, streams, 8)


def fleet(*streams: int, slots: int = 8) -> list[ReplicaObservation]:
    """Ready replicas r0, r1, … with so many streams each."""
    return [ready(f"r{index}", number, slots) for index, number in enumerate(streams)]


def seen(
    *replicas: ReplicaObservation,
    waiting: int = 0,
    vacant: int = 0,
    crash_looping: int = 0,
    removing: bool = False,
    recovering: bool = False,
) -> Observation:
    return Observation(replicas, vacant, crash_looping, waiting, removing, recovering)


def config(*, max_concurrency: int = 8, max_replica: int = 10, **others: Any) -> ScalingConfig:
    """A configuration; names of ScalingConfig go there, the others are settings."""
    own = {name: others.pop(name) for name in list(others) if name in ScalingConfig.__dataclass_fields__}
    settings = ScalingSettings(max_concurrency=max_concurrency, max_replica=max_replica, **others)
    return ScalingConfig(settings=settings, **own)


class Watcher:
    """Looks again and again, and lets the state go from look to look."""

    def __init__(self, scaling: ScalingConfig, target: int = 0) -> None:
        self.scaling = scaling
        self.state = PolicyState(target)

    def look(self, observation: Observation, now: float = 0.0, *, target: int = LEFT_OUT) -> Decision:
        """Decides. `target` says what the target was before, when it is not that of the last look."""
        if target != LEFT_OUT:
            self.state = replace(self.state, target=target)
        decision = decide(self.scaling, self.state, observation, now)
        self.state = decision.state
        return decision


def look(scaling: ScalingConfig, observation: Observation, *, target: int = LEFT_OUT, now: float = 0.0) -> Decision:
    """One look with nothing remembered; without `target` it was as many as there are places."""
    places = len(observation.replicas) + observation.vacant_places
    return decide(scaling, PolicyState(places if target == LEFT_OUT else target), observation, now)
