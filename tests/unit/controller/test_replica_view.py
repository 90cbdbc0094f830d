from __future__ import annotations

from dataclasses import replace

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.fleet import Fleet
from penstock_controller.records import ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.replica_view import ReplicaFacts, replica_views
from penstock_controller.restarts import ExitKind
from penstock_testing.controller_parts import WALL, registration, report


class Scene:
    """One place with replica "r0"; the clock began at WALL."""

    def __init__(self) -> None:
        self.registry = Registry(epoch=1, now=0.0)
        self.fleet = Fleet()
        self.fleet.resize("echo-1", 1, ())
        (place,) = self.fleet.places("echo-1")
        self.fleet.occupy(place, "r0", 0.0)
        self.registry.started("r0", "echo-1", pid=7, started_wall=WALL, now=0.0)

    def attach(self) -> None:
        self.registry.attach(registration("r0", pid=7), 1, 1.0)

    def view(self, now: float) -> admin_pb2.ReplicaView:
        (view,) = replica_views(
            self.registry, self.fleet, lambda r: ReplicaFacts(f"/logs/{r}", "0,1"), now=now, now_wall=WALL + now
        )
        return view


def test_ready_replica_shows_since_when_it_is_idle_and_its_devices() -> None:
    scene = Scene()
    scene.attach()
    view = scene.view(31.0)
    assert (view.idle_for.seconds, view.ready_at.seconds, view.gpus) == (30, int(WALL) + 1, "0,1")
    assert not view.HasField("drain_started_at")
    assert view.log_path == "/logs/r0"


def test_replica_with_streams_is_not_idle_and_shows_its_oldest() -> None:
    scene = Scene()
    scene.attach()
    told = replace(report(2, active=2), oldest_stream_wall=WALL - 100, streams_total=9, rejected_total=3)
    scene.registry.report("r0", 1, told, 2.0)
    view = scene.view(3.0)
    assert not view.HasField("idle_for")
    assert (view.oldest_stream_at.seconds, view.streams_total, view.rejected_total) == (int(WALL) - 100, 9, 3)


def test_drain_ledger_has_start_deadline_and_open_streams() -> None:
    scene = Scene()
    scene.attach()
    scene.registry.order_drain("r0", 5.0, deadline=65.0)
    scene.registry.report("r0", 1, report(2, ReplicaState.DRAINING, active=2), 6.0)
    view = scene.view(10.0)
    assert view.state == control_pb2.REPLICA_STATE_DRAINING
    assert (view.drain_started_at.seconds, view.drain_deadline.seconds) == (int(WALL) + 5, int(WALL) + 65)
    assert view.active_streams == 2


def test_place_that_fails_again_and_again_is_crash_looping() -> None:
    scene = Scene()
    for count in range(3):
        assert not scene.view(1.0).crash_looping
        scene.registry.process_gone("r0")
        scene.fleet.exited("r0", ExitKind.LOAD_FAILURE, f"failure {count}", 1.0)
        if count < 2:
            (place,) = scene.fleet.places("echo-1")
            scene.fleet.occupy(place, "r0", 1.0)
            scene.registry.started("r0", "echo-1", pid=7, started_wall=WALL, now=1.0)
    assert scene.view(1.0).crash_looping


def test_place_that_waits_for_a_gpu_is_starting() -> None:
    scene = Scene()
    scene.registry.process_gone("r0")
    scene.fleet.exited("r0", ExitKind.NO_FREE_GPU, "no free GPU", 1.0)
    view = scene.view(1.0)
    assert (view.state, view.message, view.crash_looping) == (
        control_pb2.REPLICA_STATE_STARTING,
        "no free GPU",
        False,
    )
