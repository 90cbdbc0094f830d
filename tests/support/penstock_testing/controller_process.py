"""A real controller process with fake runners (tests/integration/controller), on a state folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2
from penstock.state_dir import read_controller_file
from penstock_controller.actuators.process_table import live_records

SERVE = Path(__file__).parents[2] / "integration" / "controller" / "serve_with_fake_runners.py"
WAIT_S = 30.0

_tick = threading.Event()


def eventually(condition: Callable[[], bool], what: str, *, timeout_s: float = WAIT_S) -> None:
    """Waits until `condition` holds; fails with `what` when it does not."""
    for _ in range(int(timeout_s / 0.02)):
        if condition():
            return
        _tick.wait(0.02)
    pytest.fail(f"not within {timeout_s:g} s: {what}")


class Controller:
    """One state folder and the controller process that has it, if one runs."""

    def __init__(self, state_dir: Path, behaviour: Path) -> None:
        self.state_dir = state_dir
        self.behaviour = behaviour
        """Folder whose files tell the fake runners what to do."""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, lifeline_fd: int | None = None) -> None:
        extra = [] if lifeline_fd is None else [str(lifeline_fd)]
        with (self.state_dir.parent / "controller.out").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(SERVE), str(self.state_dir), *extra],
                env={**os.environ, "FAKE_RUNNER_DIR": str(self.behaviour)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=() if lifeline_fd is None else (lifeline_fd,),
            )
        pid = self.process.pid

        def listens() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            found = read_controller_file(self.state_dir)
            return found is not None and found.pid == pid

        eventually(listens, "the controller listens")

    def output(self) -> str:
        return (self.state_dir.parent / "controller.out").read_text()

    @property
    def address(self) -> str:
        found = read_controller_file(self.state_dir)
        assert found is not None
        return found.address

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(WAIT_S)

    def status(self) -> admin_pb2.GetStatusResponse:
        with grpc.insecure_channel(self.address) as channel:
            return admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest(), timeout=WAIT_S)

    def apply(self, source: Path, replicas: int, *, name: str = "", prune: bool = True) -> str:
        spec = admin_pb2.DeploymentSpec(name=name, source=str(source), replicas=replicas)
        request = admin_pb2.ApplyDeploymentsRequest(deployments=[spec], prune=prune)
        with grpc.insecure_channel(self.address) as channel:
            answer = admin_pb2_grpc.AdminServiceStub(channel).ApplyDeployments(request, timeout=WAIT_S)
        return answer.deployments[0].deployment_id

    def stop_replicas(self, grace_s: float) -> admin_pb2.StopReplicasResponse:
        request = admin_pb2.StopReplicasRequest()
        request.grace.FromMilliseconds(int(grace_s * 1000))
        with grpc.insecure_channel(self.address) as channel:
            return admin_pb2_grpc.AdminServiceStub(channel).StopReplicas(request, timeout=WAIT_S)

    def streams(self, count: int) -> None:
        """Every fake runner reports `count` active streams from now on."""
        (self.behaviour / "streams.new").write_text(str(count))
        (self.behaviour / "streams.new").replace(self.behaviour / "streams")

    def wait_streams(self, count: int) -> None:
        eventually(lambda: sum(r.active_streams for r in self.status().replicas) == count, f"{count} streams counted")

    def ready(self) -> list[admin_pb2.ReplicaView]:
        return [r for r in self.status().replicas if r.state == control_pb2.REPLICA_STATE_READY and not r.suspect]

    def wait_ready(self, count: int) -> list[admin_pb2.ReplicaView]:
        eventually(lambda: len(self.ready()) == count, f"{count} replicas are ready")
        return self.ready()

    def runner_pids(self) -> set[int]:
        return {record.process.pid for record in live_records(self.state_dir / "run")}

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for record in live_records(self.state_dir / "run"):
            os.kill(record.process.pid, signal.SIGKILL)
        eventually(lambda: not self.runner_pids(), "no runner is left")
