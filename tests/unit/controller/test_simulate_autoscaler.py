from __future__ import annotations

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.observation import Observation, ReplicaObservation
from penstock_controller.simulate.autoscaler import OurAutoscaler

READY = ReplicaState.READY


def test_ours_begins_as_a_new_deployment_does_and_only_once() -> None:
    ours = OurAutoscaler(ScalingSettings(max_replica=3, scale_down_delay_s=0.0))

    first = ours.look(Observation(), 0.0)
    assert (first.target, first.rule) == (1, "initial")
    ready = Observation(replicas=[ReplicaObservation("r1", READY, 0, 4)])
    later = ours.look(ready, 60.0)
    assert later.rule == "idle_replica"
    assert [victim.replica_id for victim in later.victims] == ["r1"]


def test_a_victim_that_has_agreed_lowers_the_target() -> None:
    settings = ScalingSettings(max_replica=3, max_concurrency=4, scale_down_delay_s=0.0, scale_down_interval_s=0.0)
    ours = OurAutoscaler(settings)
    two = [ReplicaObservation(name, READY, 0, 4) for name in ("r1", "r2")]
    ours.look(Observation(), 0.0)
    before = ours.look(Observation(replicas=two, vacant_places=0), 60.0)

    ours.removed("r1")

    assert ours.look(Observation(replicas=two[1:]), 61.0).target == max(0, before.target - 1)


def test_the_outcome_of_the_policy_is_handed_on_whole() -> None:
    ours = OurAutoscaler(ScalingSettings(max_replica=3, max_concurrency=4))
    look = ours.look(Observation(waiting_streams=9), 0.0)

    assert look.target == 3
    assert look.inputs["waiting_streams"] == 9
    assert look.text
    assert (ours.cuts_streams, list(ours.choose_victims(Observation(), 2))) == (False, [])
