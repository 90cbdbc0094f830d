"""How many replicas a deployment should have, and which ones go when there are too many.

`decide` is a pure function of configuration, its own earlier state and what is observed, so that the same code runs in
production, in tests and in a simulation. The first rule is "fixed": the number that was asked for is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_controller.records import ReplicaState


@dataclass(frozen=True, slots=True)
class ScalingConfig:
    """What scaling may do with one deployment."""

    replicas: int
    """Replicas that were asked for."""
    stopped: bool = False
    """An operator ended the replicas."""
    retired: bool = False
    """The deployment is being removed."""

    @property
    def min_replica(self) -> int:
        return 0 if self.stopped or self.retired else self.replicas

    @property
    def max_replica(self) -> int:
        return self.min_replica


@dataclass(frozen=True, slots=True)
class ReplicaObservation:
    """One replica that occupies a place."""

    replica_id: str
    state: ReplicaState
    active_streams: int
    stream_capacity: int
    suspect: bool = False
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known about a deployment at one moment."""

    replicas: Sequence[ReplicaObservation]
    """Replicas that occupy a place; those that leave are not among them."""
    waiting_streams: int = 0


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What the policy remembers between two decisions."""

    target: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a decision is what it is."""

    rule: str
    """Stable name."""
    text: str
    """The rule with its numbers, for people."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Outcome of `decide`."""

    state: PolicyState
    target: int
    victims: tuple[str, ...]
    """Replicas to drain and end, first first."""
    reason: Reason
    evaluate_again_at: float | None
    """Monotonic seconds by which to decide again even when nothing changes; None when only a change matters."""


def decide(config: ScalingConfig, state: PolicyState, observation: Observation, now: float) -> Decision:
    """Chooses the number of replicas of one deployment. Never raises, and never reads a clock."""
    del state, now  # the rule "fixed" has no memory and no delays
    target = config.min_replica
    surplus = max(0, len(observation.replicas) - target)
    victims = tuple(r.replica_id for r in sorted(observation.replicas, key=_removal_order)[:surplus])
    return Decision(PolicyState(target), target, victims, _reason(config), None)


def _reason(config: ScalingConfig) -> Reason:
    if config.retired:
        return Reason("retired", "the deployment was removed")
    if config.stopped:
        return Reason("stopped", "an operator ended all replicas")
    noun = "replica was" if config.replicas == 1 else "replicas were"
    return Reason("fixed", f"{config.replicas} {noun} asked for")


def _removal_order(replica: ReplicaObservation) -> tuple[int, int, float, str]:
    # What serves nobody goes first: failed, then still loading (the youngest first, it has most of its load before
    # it), then the replica with the fewest streams. Each one is drained, so none loses a stream.
    rank = {ReplicaState.FAILED: 0, ReplicaState.LOST: 0, ReplicaState.STARTING: 1}.get(replica.state, 2)
    return rank, replica.active_streams, replica.age_s, replica.replica_id
