from __future__ import annotations

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.observation import ReplicaObservation
from penstock_controller.simulate.baselines.replica_set import first_to_end


def test_busy_young_replica_ends_before_an_idle_old_one() -> None:
    """The trap that makes every autoscaler on top of a ReplicaSet cut streams."""
    idle_old = ReplicaObservation("old", ReplicaState.READY, active_streams=0, age_s=900)
    busy_young = ReplicaObservation("young", ReplicaState.READY, active_streams=8, age_s=60)
    starting = ReplicaObservation("starting", ReplicaState.STARTING, age_s=5000)

    order = first_to_end([idle_old, busy_young, starting])

    assert [one.replica_id for one in order] == ["starting", "young", "old"]
