from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.observation import ReplicaObservation
from penstock_controller.scaling.surplus import drained
from penstock_testing.scaling_kit import draining, failed, ready, starting

replicas = st.builds(
    ReplicaObservation,
    replica_id=st.uuids().map(str),
    state=st.sampled_from(list(ReplicaState)),
    active_streams=st.integers(0, 9),
    stream_capacity=st.just(8),
    age_s=st.floats(0, 1e6),
)


def test_what_serves_nobody_goes_first_then_what_has_the_fewest_streams() -> None:
    seen = [
        ready("busy", 5),
        ready("calm", 1),
        ready("idle"),
        starting("old", age_s=90.0),
        starting("young", age_s=5.0),
        failed("broken"),
        draining("leaving"),
    ]

    order = [victim.replica_id for victim in drained(seen, 0)]

    assert order == ["broken", "leaving", "young", "old", "idle", "calm", "busy"]


@given(st.lists(replicas, max_size=12, unique_by=lambda r: r.replica_id), st.integers(0, 12))
def test_exactly_the_surplus_is_drained_and_never_a_busier_one(seen: list[ReplicaObservation], keep: int) -> None:
    victims = drained(seen, keep)

    assert len(victims) == max(0, len(seen) - keep)
    assert not any(victim.if_idle for victim in victims)
    gone = {victim.replica_id for victim in victims}
    serving = [r for r in seen if r.state is ReplicaState.READY]
    kept = [r.active_streams for r in serving if r.replica_id not in gone]
    assert all(r.active_streams <= min(kept) for r in serving if r.replica_id in gone and kept)
