"""Real processes on real sockets: the controller and fake runners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2, control_pb2_grpc
from penstock_testing.controller_process import Controller, eventually


class Watcher:
    """An edge that only watches: it keeps every snapshot."""

    def __init__(self, address: str) -> None:
        self.snapshots: list[control_pb2.Snapshot] = []
        self._ended = threading.Event()
        self._channel = grpc.insecure_channel(address)
        self._call = control_pb2_grpc.EdgeSessionServiceStub(self._channel).Watch(self._requests())
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._call.cancel()
        self._thread.join(10)
        self._channel.close()

    def states(self) -> dict[str, int]:
        return {r.replica_id: r.state for r in self.snapshots[-1].replicas} if self.snapshots else {}

    def ready(self) -> set[str]:
        return {i for i, state in self.states().items() if state == control_pb2.REPLICA_STATE_READY}

    def _requests(self) -> Iterator[control_pb2.WatchRequest]:
        yield control_pb2.WatchRequest(subscribe=control_pb2.Subscribe(edge_id="watcher", http_address="127.0.0.1:2"))
        self._ended.wait()

    def _read(self) -> None:
        try:
            for response in self._call:
                self.snapshots.append(response.snapshot)
        except grpc.RpcError:
            pass


@pytest.fixture
def watchers() -> Iterator[list[Watcher]]:
    """Closes every watcher that is put in."""
    opened: list[Watcher] = []
    yield opened
    for watcher in opened:
        watcher.close()


def open_watcher(controller: Controller, watchers: list[Watcher]) -> Watcher:
    watchers.append(Watcher(controller.address))
    return watchers[-1]


def test_applied_deployment_runs_its_replicas_and_edges_learn_of_them(
    controller: Controller, model: Path, watchers: list[Watcher]
) -> None:
    controller.start()

    deployment_id = controller.apply(model, 3)

    controller.wait_ready(3)
    watcher = open_watcher(controller, watchers)
    eventually(lambda: len(watcher.ready()) == 3, "the snapshot has 3 ready replicas")
    snapshot = watcher.snapshots[-1]
    (route,) = snapshot.deployments
    assert (route.deployment_id, route.name, list(route.environments)) == (deployment_id, "counter", ["production"])
    assert deployment_id.startswith("counter-")
    assert snapshot.epoch == 1
    assert not snapshot.partial
    (deployment,) = controller.status().deployments
    assert (deployment.target_replicas, deployment.ready_replicas, deployment.stream_capacity) == (3, 3, 24)
    assert deployment.last_decision.rule == "manual"
    watcher.close()
    eventually(lambda: not controller.status().edges, "a closed edge is forgotten")


def test_killed_runner_leaves_the_snapshot_within_a_second_and_another_takes_its_place(
    controller: Controller, model: Path, watchers: list[Watcher]
) -> None:
    controller.start()
    controller.apply(model, 2)
    first, second = controller.wait_ready(2)
    watcher = open_watcher(controller, watchers)
    eventually(lambda: len(watcher.ready()) == 2, "both are in the snapshot")

    os.kill(first.pid, signal.SIGKILL)

    eventually(lambda: first.replica_id not in watcher.states(), "the killed one is gone", timeout_s=1.0)
    assert second.replica_id in watcher.ready()
    eventually(lambda: len(watcher.ready()) == 2, "another has started")
    after = {r.replica_id: r for r in controller.wait_ready(2)}
    assert second.replica_id in after
    assert first.replica_id not in after
    assert sorted(r.restarts for r in after.values()) == [0, 1]


def test_killed_controller_is_succeeded_by_one_that_adopts_the_runners(controller: Controller, model: Path) -> None:
    controller.start()
    controller.apply(model, 3)
    before = {r.replica_id: r.pid for r in controller.wait_ready(3)}

    controller.kill()
    assert controller.runner_pids() == set(before.values())
    controller.start()

    after = {r.replica_id: r.pid for r in controller.wait_ready(3)}
    assert before == after
    assert controller.runner_pids() == set(before.values())
    assert controller.status().controller.epoch == 2
    eventually(lambda: not controller.status().controller.recovering, "every replica has come back")
    assert "replica_started" not in controller.output().split('"epoch": 2')[-1]


def test_adopted_runner_that_is_killed_is_replaced(controller: Controller, model: Path) -> None:
    controller.start()
    controller.apply(model, 1)
    (before,) = controller.wait_ready(1)
    controller.kill()
    controller.start()
    controller.wait_ready(1)

    os.kill(before.pid, signal.SIGKILL)

    eventually(lambda: [r for r in controller.ready() if r.pid != before.pid] != [], "a new replica is ready")
    assert before.pid not in controller.runner_pids()


def test_runner_that_died_with_no_controller_running_is_replaced_at_once(controller: Controller, model: Path) -> None:
    controller.start()
    controller.apply(model, 2)
    dead, alive = controller.wait_ready(2)
    controller.kill()
    os.kill(dead.pid, signal.SIGKILL)
    eventually(lambda: dead.pid not in controller.runner_pids(), "the runner is dead")

    controller.start()

    after = {r.replica_id for r in controller.wait_ready(2)}
    assert alive.replica_id in after
    assert dead.replica_id not in after


def test_alive_runner_that_does_not_attach_is_not_started_twice(controller: Controller, model: Path) -> None:
    (controller.behaviour / "silent").write_text("")
    controller.start()
    controller.apply(model, 1)
    eventually(lambda: len(controller.runner_pids()) == 1, "the runner runs")
    pids = controller.runner_pids()
    controller.kill()

    controller.start()

    status = controller.status()
    assert status.controller.recovering
    assert [r.pid for r in status.replicas] == list(pids)
    assert controller.runner_pids() == pids


def test_sigterm_ends_the_controller_alone(controller: Controller, model: Path) -> None:
    controller.start()
    controller.apply(model, 2)
    controller.wait_ready(2)
    pids = controller.runner_pids()

    assert controller.terminate() == 0

    assert controller.runner_pids() == pids
    assert "Traceback" not in controller.output()


def test_model_that_cannot_be_loaded_is_failed_with_its_message(controller: Controller, model: Path) -> None:
    (controller.behaviour / "fail_load").write_text("Traceback: no such weights")
    controller.start()

    controller.apply(model, 1)

    def failed() -> bool:
        status = controller.status()
        return status.deployments[0].failed_replicas == 1 and "no such weights" in status.deployments[0].message

    eventually(failed, "the failure is shown with its message")
    (replica,) = controller.status().replicas
    assert replica.state == control_pb2.REPLICA_STATE_FAILED
    assert replica.message == "Traceback: no such weights"
    (controller.behaviour / "fail_load").unlink()
    controller.wait_ready(1)
    eventually(lambda: controller.status().deployments[0].message == "", "the message goes when a replica is ready")


def test_stop_replicas_waits_for_streams_until_the_grace_and_counts_those_it_cut(
    controller: Controller, model: Path
) -> None:
    controller.streams(2)
    controller.start()
    controller.apply(model, 2)
    controller.wait_ready(2)
    controller.wait_streams(4)

    answer = controller.stop_replicas(0.3)

    assert answer == admin_pb2.StopReplicasResponse(stopped=2, cut_streams=4)
    assert controller.runner_pids() == set()
    (deployment,) = controller.status().deployments
    assert (deployment.target_replicas, deployment.last_decision.rule) == (0, "stopped")
    controller.apply(model, 1)
    controller.wait_ready(1)


def test_replica_that_is_too_many_keeps_its_streams_until_they_end(
    controller: Controller, model: Path, watchers: list[Watcher]
) -> None:
    controller.streams(1)
    controller.start()
    controller.apply(model, 2)
    controller.wait_ready(2)
    controller.wait_streams(2)
    watcher = open_watcher(controller, watchers)
    # The first snapshot may be from before the second replica attached: snapshots follow the status by up to 50 ms.
    eventually(lambda: len(watcher.ready()) == 2, "both are in the snapshot")

    controller.apply(model, 1)

    one_drains = [control_pb2.REPLICA_STATE_READY, control_pb2.REPLICA_STATE_DRAINING]
    eventually(lambda: sorted(watcher.states().values()) == one_drains, "one takes no more streams, and both are known")
    eventually(lambda: controller.status().deployments[0].draining_replicas == 1, "it drains")
    assert len(controller.runner_pids()) == 2
    controller.streams(0)
    eventually(lambda: len(controller.runner_pids()) == 1, "it ends with its last stream")


def test_drain_goes_on_under_the_next_controller(controller: Controller, model: Path) -> None:
    controller.streams(1)
    controller.start()
    controller.apply(model, 2)
    controller.wait_ready(2)
    controller.wait_streams(2)
    controller.apply(model, 1)
    eventually(lambda: controller.status().deployments[0].draining_replicas == 1, "one drains")

    controller.kill()
    controller.start()

    eventually(lambda: not controller.status().controller.recovering, "both have come back")
    assert len(controller.runner_pids()) == 2
    assert controller.status().deployments[0].draining_replicas == 1
    controller.streams(0)
    eventually(lambda: len(controller.runner_pids()) == 1, "it ends with its last stream")


def test_pruned_deployment_cannot_be_reached_but_keeps_its_streams(
    controller: Controller, model: Path, watchers: list[Watcher]
) -> None:
    controller.streams(1)
    controller.start()
    old = controller.apply(model, 1)
    controller.wait_ready(1)
    controller.wait_streams(1)
    (model / "weights.txt").write_text("new")
    watcher = open_watcher(controller, watchers)
    eventually(lambda: len(watcher.ready()) == 1, "the old one is in the snapshot")

    new = controller.apply(model, 1)

    assert new != old
    eventually(lambda: [d.deployment_id for d in watcher.snapshots[-1].deployments] == [new], "only the new is reached")
    eventually(lambda: len(controller.ready()) == 1 and len(controller.runner_pids()) == 2, "the old one drains")
    controller.streams(0)
    eventually(lambda: [d.deployment_id for d in controller.status().deployments] == [new], "the old one is forgotten")


def test_runner_of_an_unknown_deployment_is_refused(controller: Controller) -> None:
    controller.start()
    register = control_pb2.Register(
        replica_id="x-1", deployment_id="x", boot_id="b", address="127.0.0.1:1", protocol_version=1
    )

    with grpc.insecure_channel(controller.address) as channel:
        call = control_pb2_grpc.RunnerRegistryServiceStub(channel).Attach(
            iter([control_pb2.AttachRequest(register=register)]), timeout=10
        )
        with pytest.raises(grpc.RpcError) as refused:
            next(call)

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "not known to this controller" in str(refused.value.details())


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (admin_pb2.DeploymentSpec(source="counter", replicas=1), "source: must be an absolute path"),
        (admin_pb2.DeploymentSpec(source="/nowhere/at/all", replicas=1), "is not a folder"),
        (admin_pb2.DeploymentSpec(name="No Good", source="MODEL", replicas=1), "name: must be 1 to 63"),
        (admin_pb2.DeploymentSpec(source="MODEL", replicas=1001), "replicas: must be 0 to 1000"),
        (admin_pb2.DeploymentSpec(source="MODEL", replicas=1, environment="a b"), "environment: must be 1 to 63"),
    ],
)
def test_bad_deployment_is_refused_with_what_is_wrong(
    controller: Controller, model: Path, spec: admin_pb2.DeploymentSpec, complaint: str
) -> None:
    controller.start()
    if spec.source == "MODEL":
        spec = admin_pb2.DeploymentSpec(
            name=spec.name, source=str(model), replicas=spec.replicas, environment=spec.environment
        )

    with grpc.insecure_channel(controller.address) as channel, pytest.raises(grpc.RpcError) as refused:
        admin_pb2_grpc.AdminServiceStub(channel).ApplyDeployments(
            admin_pb2.ApplyDeploymentsRequest(deployments=[spec]), timeout=10
        )

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert complaint in str(refused.value.details())
    assert controller.status().deployments == []


def test_second_controller_on_the_same_folder_is_refused(controller: Controller) -> None:
    controller.start()

    second = subprocess.run(
        [sys.executable, "-P", "-m", "penstock_controller", "serve", "--state-dir", str(controller.state_dir)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert second.returncode == 1
    assert "--state-dir" in second.stderr
    assert "Traceback" not in second.stderr


def test_end_of_the_lifeline_ends_controller_and_runners(controller: Controller, model: Path) -> None:
    read_end, write_end = os.pipe()
    try:
        controller.start(lifeline_fd=read_end)
        controller.apply(model, 2)
        controller.wait_ready(2)
    finally:
        os.close(read_end)
        os.close(write_end)

    assert controller.process is not None
    assert controller.process.wait(10) == 70
    eventually(lambda: not controller.runner_pids(), "the runners have ended")


def test_socket_and_folder_are_private(controller: Controller) -> None:
    controller.start()

    socket = Path(controller.address.removeprefix("unix:"))
    assert oct(socket.stat().st_mode & 0o777) == "0o600"
    assert oct(controller.state_dir.stat().st_mode & 0o777) == "0o700"


def test_status_command_shows_the_controller_and_what_serves_without_it(controller: Controller, model: Path) -> None:
    controller.start()
    controller.apply(model, 1)
    (replica,) = controller.wait_ready(1)

    shown = _status_command(controller, "--check")
    controller.kill()
    offline = _status_command(controller, "--timeout", "2")

    assert shown.returncode == 0, shown.stderr
    assert "HEALTHY" in shown.stdout
    assert replica.replica_id in shown.stdout
    assert offline.returncode == 1
    assert "no answer from the controller" in offline.stderr
    assert "CONTROLLER DOWN: 1 runner alive" in offline.stderr
    assert "Traceback" not in offline.stderr


def _status_command(controller: Controller, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "penstock_controller", "status", "--state-dir", str(controller.state_dir)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
