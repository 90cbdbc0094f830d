from __future__ import annotations

from dataclasses import replace

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.fleet import Fleet
from penstock_controller.records import (
    Build,
    BuildState,
    Demand,
    Deployment,
    EdgeReport,
    Promotion,
    ReplicaState,
    ScaleDecision,
    Subscription,
)
from penstock_controller.registry import Registry
from penstock_controller.replica_view import ReplicaFacts
from penstock_controller.restarts import ExitKind
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.status_view import DeploymentScaling, StatusInputs, build_status
from penstock_testing.controller_parts import FACTS, WALL, deployment, registration, report


class World:
    def __init__(self, wanted: Deployment, replicas: int) -> None:
        self.registry = Registry(epoch=2, now=0.0)
        self.fleet = Fleet()
        self.wanted = wanted
        self.scaling = DeploymentScaling(3, ScaleDecision("fixed", "why", WALL, 0, 3, {"ready_replicas": 1.0}))
        self.promotions: list[Promotion] = []
        self.reloading: set[str] = set()
        self.fleet.resize(wanted.deployment_id, replicas, ())
        for place in self.fleet.due(wanted.deployment_id, 0.0):
            name = f"r{place.index}"
            self.fleet.occupy(place, name, 0.0)
            self.registry.started(name, wanted.deployment_id, pid=10 + place.index, started_wall=WALL, now=0.0)

    def ready(self, index: int, *, active: int = 0) -> None:
        self.registry.attach(registration(f"r{index}", pid=10 + index, active=active), index, 0.0)

    def exit(self, index: int, kind: ExitKind, message: str) -> None:
        self.registry.process_gone(f"r{index}")
        self.fleet.exited(f"r{index}", kind, message, 1.0)

    def status(self) -> admin_pb2.GetStatusResponse:
        inputs = StatusInputs(
            facts=FACTS,
            registry=self.registry,
            fleet=self.fleet,
            deployments=[self.wanted],
            scaling={self.wanted.deployment_id: self.scaling},
            facts_of=lambda replica_id: ReplicaFacts(f"/logs/{replica_id}.log", "0,1"),
            promotions=self.promotions,
            reloading=self.reloading,
        )
        return build_status(inputs, now=1.0, now_wall=WALL + 1.0)


def test_deployment_counts_its_replicas_by_state_and_the_streams_of_all() -> None:
    world = World(deployment(replicas=4), 4)
    world.ready(0, active=2)
    world.ready(1)
    world.registry.order_drain("r1", 0.0)
    world.exit(3, ExitKind.LOAD_FAILURE, "no weights")

    (shown,) = world.status().deployments

    counts = (shown.ready_replicas, shown.starting_replicas, shown.draining_replicas, shown.failed_replicas)
    assert counts == (1, 1, 1, 1)
    assert (shown.active_streams, shown.stream_capacity) == (2, 8)
    assert (shown.target_replicas, shown.min_replicas, shown.max_replicas) == (3, 0, 1)
    assert shown.message == "no weights"
    assert (shown.last_decision.rule, shown.last_decision.to_replicas) == ("fixed", 3)


def test_failed_place_shows_its_last_replica_and_when_the_next_starts() -> None:
    world = World(deployment(), 1)
    world.exit(0, ExitKind.LOAD_FAILURE, "no weights")

    (replica,) = world.status().replicas

    assert (replica.replica_id, replica.state, replica.message) == (
        "r0",
        control_pb2.REPLICA_STATE_FAILED,
        "no weights",
    )
    assert replica.next_start_at.ToNanoseconds() == int((WALL + 1.5) * 1e9)
    assert replica.log_path == "/logs/r0.log"


def test_place_after_a_crash_shows_its_replica_as_lost() -> None:
    world = World(deployment(), 1)
    world.exit(0, ExitKind.CRASH, "ended by SIGKILL")

    (replica,) = world.status().replicas

    assert replica.state == control_pb2.REPLICA_STATE_LOST


def test_replica_shows_what_it_reported() -> None:
    world = World(deployment(), 1)
    world.ready(0)
    world.registry.report("r0", 0, report(2, ReplicaState.READY, active=3, message="warm"), 0.4)

    (replica,) = world.status().replicas

    assert (replica.active_streams, replica.message, replica.pid, replica.restarts) == (3, "warm", 10, 0)
    assert replica.status_age.nanos == 600_000_000
    assert not replica.HasField("event_loop_lag")


def test_conditions_of_a_deployment_are_said() -> None:
    assert "removed" in World(deployment(retired=True), 0).status().deployments[0].message
    assert "stopped" in World(deployment(stopped=True), 0).status().deployments[0].message


def test_edge_shows_its_snapshot_and_demand() -> None:
    world = World(deployment(), 1)
    world.registry.edges.connected(Subscription("e1", 7, "127.0.0.1:80", "", "0.1.0", WALL), 1, 0.0)
    world.registry.edges.reported("e1", 1, EdgeReport(5, {"echo-1": Demand(2)}, 2, 9, draining=True), 0.5)

    status = world.status()

    (edge,) = status.edges
    assert (edge.active_streams, edge.waiting_streams, edge.snapshot_epoch, edge.snapshot_version) == (5, 2, 2, 9)
    assert edge.draining
    assert status.deployments[0].waiting_streams == 2


def test_controller_shows_itself() -> None:
    shown = World(deployment(), 0).status().controller

    assert (shown.controller_id, shown.epoch, shown.recovering, shown.actuator) == ("c0ffee00", 2, False, "fake")


def test_settings_in_force_are_those_of_the_config_with_what_operators_changed() -> None:
    wanted = deployment(
        scaling=ScalingSettings(min_replica=1, max_replica=4, max_concurrency=8, scale_down_delay_s=30.0),
        overrides=ScalingOverrides(max_replica=6, paused=True),
    )
    (shown,) = World(wanted, 1).status().deployments

    settings = shown.autoscaling
    assert (settings.min_replica, settings.max_replica, settings.max_concurrency) == (1, 6, 8)
    assert (settings.metric, settings.scale_down_delay, settings.placement) == ("streams", 30.0, "spread")
    assert (shown.min_replicas, shown.max_replicas, shown.paused) == (1, 6, True)
    assert not shown.HasField("manual_replicas")


def test_superseded_deployment_shows_that_it_goes_to_zero_and_when_its_streams_end() -> None:
    wanted = deployment(
        scaling=ScalingSettings(min_replica=2, max_replica=4),
        environments=(),
        superseded_wall=WALL,
        streams_end_wall=WALL + 60,
    )
    (shown,) = World(wanted, 1).status().deployments

    assert (shown.superseded, shown.min_replicas, shown.streams_end_at.seconds) == (True, 0, int(WALL) + 60)


def test_waiting_promotion_and_what_blocks_scaling_are_shown() -> None:
    world = World(deployment(replicas=None), 1)
    world.scaling = DeploymentScaling(1, None, "at max_replica (1)")
    world.promotions = [Promotion("echo", "staging", "echo-1", None, WALL)]

    (shown,) = world.status().deployments

    assert (shown.pending_environment, shown.blocked) == ("staging", "at max_replica (1)")
    assert not shown.HasField("last_decision")


def test_oldest_wait_is_that_of_the_edge_that_waits_longest() -> None:
    world = World(deployment(), 1)
    for edge_id, wait in (("e1", 2.0), ("e2", 7.5)):
        world.registry.edges.connected(Subscription(edge_id, 7, "", "", "0.1.0", WALL), 1, 0.0)
        report = EdgeReport(demands={"echo-1": Demand(1, wait, refused_total=3)})
        world.registry.edges.reported(edge_id, 1, report, 0.5)

    (shown,) = world.status().deployments

    assert shown.oldest_wait.ToMilliseconds() == 7500
    assert (shown.waiting_streams, shown.refused_total) == (2, 6)


def test_phase_follows_the_replicas() -> None:
    world = World(deployment(replicas=1), 1)
    assert world.status().deployments[0].phase == "DEPLOYING"
    world.registry.attach(registration("r0", pid=10, state=ReplicaState.STARTING), 1, 0.0)
    assert world.status().deployments[0].phase == "LOADING_MODEL"
    world.registry.report("r0", 1, report(2), 0.0)
    assert world.status().deployments[0].phase == "ACTIVE"
    world.reloading.add("echo-1")
    assert world.status().deployments[0].phase == "UPDATING"


def test_phase_of_one_that_was_created_a_moment_ago() -> None:
    world = World(deployment(), 0)
    world.scaling = DeploymentScaling(initial=True)
    assert world.status().deployments[0].phase == "DEPLOYING"
    world.scaling = DeploymentScaling()
    assert world.status().deployments[0].phase == "SCALED_TO_ZERO"


def test_phase_after_failures_tells_whether_it_has_ever_served() -> None:
    for wanted, phase in ((deployment(), "DEPLOY_FAILED"), (deployment(ready_wall=WALL), "UNHEALTHY")):
        world = World(wanted, 1)
        world.exit(0, ExitKind.LOAD_FAILURE, "no weights")
        (shown,) = world.status().deployments
        assert (shown.phase, shown.message) == (phase, "no weights")


def test_waiting_for_a_gpu_is_no_failure() -> None:
    world = World(deployment(), 1)
    world.exit(0, ExitKind.NO_FREE_GPU, "no GPU is free")
    (shown,) = world.status().deployments
    assert (shown.phase, shown.message) == ("DEPLOYING", "no GPU is free")


def test_an_unhealthy_replica_is_not_ready_and_is_named() -> None:
    world = World(deployment(ready_wall=WALL), 1)
    world.ready(0)
    world.registry.report("r0", 0, replace(report(2), unhealthy=True, message="GPU fell off"), 0.0)
    status = world.status()
    (shown,) = status.deployments
    assert (shown.phase, shown.ready_replicas, shown.stream_capacity) == ("UNHEALTHY", 0, 0)
    assert shown.message == "r0 is unhealthy: GPU fell off"
    assert status.replicas[0].unhealthy


def test_a_build_is_shown_with_its_log() -> None:
    log = "/run/penstock/logs/build-echo-1.log"
    for build, phase, message, path in (
        (Build(BuildState.WAITING), "BUILDING", "waits for its build", ""),
        (Build(BuildState.RUNNING), "BUILDING", "its build runs", log),
        (
            Build(BuildState.FAILED, "why"),
            "BUILD_FAILED",
            "its build failed: why",
            log,
        ),
        (Build(BuildState.DONE, "no ffmpeg"), "DEPLOYING", "no ffmpeg", log),
    ):
        (shown,) = World(deployment(build=build, artifact="ab"), 1).status().deployments
        assert (shown.phase, shown.message, shown.build_log_path) == (phase, message, path)
        assert shown.artifact == "ab"
