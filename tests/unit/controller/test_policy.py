from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.policy import (
    Decision,
    Observation,
    PolicyState,
    ReplicaObservation,
    ScalingConfig,
    decide,
)
from penstock_controller.records import ReplicaState

replicas = st.builds(
    ReplicaObservation,
    replica_id=st.uuids().map(str),
    state=st.sampled_from([ReplicaState.STARTING, ReplicaState.READY, ReplicaState.FAILED]),
    active_streams=st.integers(0, 9),
    stream_capacity=st.just(8),
    age_s=st.floats(0, 1e6),
)


def decided(wanted: int, *seen: ReplicaObservation) -> Decision:
    return decide(ScalingConfig(wanted), PolicyState(), Observation(seen), 0.0)


def test_fixed_rule_keeps_the_number_that_was_asked_for() -> None:
    decision = decided(3)

    assert (decision.target, decision.victims, decision.evaluate_again_at) == (3, (), None)
    assert (decision.reason.rule, decision.reason.text) == ("fixed", "3 replicas were asked for")


def test_stopped_deployment_has_no_replicas() -> None:
    decision = decide(ScalingConfig(3, stopped=True), PolicyState(3), Observation(()), 0.0)

    assert (decision.target, decision.reason.rule) == (0, "stopped")


def test_retired_deployment_has_no_replicas() -> None:
    decision = decide(ScalingConfig(3, retired=True), PolicyState(3), Observation(()), 0.0)

    assert (decision.target, decision.reason.rule) == (0, "retired")


def test_victims_are_those_that_serve_nobody_then_those_with_the_fewest_streams() -> None:
    busy = ReplicaObservation("busy", ReplicaState.READY, 5, 8)
    calm = ReplicaObservation("calm", ReplicaState.READY, 1, 8)
    idle = ReplicaObservation("idle", ReplicaState.READY, 0, 8)
    loading = ReplicaObservation("loading", ReplicaState.STARTING, 0, 8)
    failed = ReplicaObservation("failed", ReplicaState.FAILED, 0, 8)

    assert decided(1, busy, calm, idle, loading, failed).victims == ("failed", "loading", "idle", "calm")


@given(st.integers(0, 20), st.lists(replicas, max_size=20, unique_by=lambda r: r.replica_id))
def test_no_more_are_removed_than_are_too_many_and_never_a_busier_one(
    wanted: int, seen: list[ReplicaObservation]
) -> None:
    victims = decided(wanted, *seen).victims

    assert len(victims) == max(0, len(seen) - wanted)
    ready = [r for r in seen if r.state is ReplicaState.READY]
    kept = [r.active_streams for r in ready if r.replica_id not in victims]
    assert all(r.active_streams <= min(kept) for r in ready if r.replica_id in victims and kept)
