"""What is known about a deployment at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_controller.records import ReplicaState


@dataclass(frozen=True, slots=True)
class ReplicaObservation:
    """One replica that has a place."""

    replica_id: str
    state: ReplicaState
    active_streams: int = 0
    stream_capacity: int = 0
    """0 until it has reported."""
    suspect: bool = False
    """Not heard of lately; its counts are the last known."""
    age_s: float = 0.0
    """Since it is known."""
    unhealthy: bool = False
    """The model's own health check fails: no new stream goes to it, and nobody knows whether it recovers."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Replicas with a place (those that leave are not among them), and the streams that wait at edges."""

    replicas: Sequence[ReplicaObservation] = ()
    vacant_places: int = 0
    """Places of the target whose replica is about to be started or started again; no replica stands for them."""
    crash_looping: int = 0
    """How many of the vacant places and of the starting replicas fail again and again. They are no capacity to come."""
    waiting_streams: int = 0
    removing: bool = False
    """An earlier victim has not answered yet whether it goes."""
    recovering: bool = False
    """The controller has restarted and has not yet heard of every replica."""
