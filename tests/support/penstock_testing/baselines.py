"""Observations for the autoscalers of other systems."""

from __future__ import annotations

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.observation import Observation, ReplicaObservation


def observed(*active: int, starting: int = 0, waiting: int = 0, capacity: int = 8) -> Observation:
    """Ready replicas with `active` streams each, the oldest first, and younger ones that start."""
    states = [ReplicaState.READY] * len(active) + [ReplicaState.STARTING] * starting
    replicas = [
        ReplicaObservation(
            f"replica-{index}",
            state,
            active_streams=active[index] if index < len(active) else 0,
            stream_capacity=capacity if index < len(active) else 0,
            age_s=1000.0 - index,
        )
        for index, state in enumerate(states)
    ]
    return Observation(replicas=replicas, waiting_streams=waiting)
