from __future__ import annotations

from penstock_controller.load import LoadMeter
from penstock_controller.records import ProcessState, ReplicaReport, ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.replica import Replica
from penstock_testing.controller_parts import registration


class Scene:
    def __init__(self) -> None:
        self.registry = Registry(epoch=1, now=0.0)
        self.meter = LoadMeter()
        self.sequence = 1

    def attach(self, replica_id: str, now: float, *, boot_id: str = "boot") -> Replica:
        self.registry.attach(registration(replica_id, state=ReplicaState.STARTING, boot_id=boot_id), 1, now)
        return self.heard(replica_id)

    def report(self, replica_id: str, streams_total: int, now: float) -> None:
        self.sequence += 1
        report = ReplicaReport(self.sequence, ReplicaState.READY, stream_capacity=8, streams_total=streams_total)
        self.registry.report(replica_id, 1, report, now)
        self.heard(replica_id)

    def heard(self, replica_id: str) -> Replica:
        replica = self.registry.replica(replica_id)
        assert replica is not None
        self.meter.heard(replica)
        return replica


def test_total_goes_on_when_a_replica_ends() -> None:
    scene = Scene()
    for replica_id in ("a", "b"):
        scene.registry.started(replica_id, "echo-1", pid=0, started_wall=0.0, now=0.0)
        scene.attach(replica_id, 1.0)
    scene.report("a", 5, 2.0)
    scene.report("b", 2, 2.0)
    assert scene.meter.admitted_total("echo-1") == 7

    scene.registry.process_gone("a")
    scene.meter.gone("a")
    scene.report("b", 3, 3.0)
    assert scene.meter.admitted_total("echo-1") == 8
    assert scene.meter.admitted_total("voice-1") == 0


def test_streams_of_before_this_controller_are_not_counted() -> None:
    scene = Scene()
    scene.registry.expect("a", "echo-1", ProcessState.RUNNING, now=0.0)
    scene.registry.attach(registration("a"), 1, 0.0)
    replica = scene.registry.replica("a")
    assert replica is not None and replica.registration is not None
    scene.report("a", 100, 1.0)
    assert scene.meter.admitted_total("echo-1") == 0
    scene.report("a", 104, 2.0)
    assert scene.meter.admitted_total("echo-1") == 4
    assert scene.meter.cold_starts("echo-1", 0) == []


def test_cold_start_is_the_time_from_start_to_ready_and_told_once() -> None:
    scene = Scene()
    scene.registry.started("a", "echo-1", pid=0, started_wall=0.0, now=10.0)
    scene.attach("a", 11.0)
    scene.report("a", 0, 14.5)
    scene.report("a", 1, 20.0)

    assert scene.meter.cold_starts("echo-1", 0) == [4.5]
    assert scene.meter.cold_starts("echo-1", scene.meter.cold_start_count) == []
