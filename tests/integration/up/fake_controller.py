"""Stands in for penstock_controller: AdminService on a socket, and sleeping processes as runners.

It takes `serve --state-dir=DIR --lifeline-fd=FD`. What it does is told by files in DIR, so that a test can change it:
`fail` (its text is why the model fails), `ready` (replicas are ready once it exists), `refuse` (ApplyDeployments fails
with its text). Runners stand in `runners.json` and are adopted by the next fake controller of the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2
from penstock.lifeline import watch_lifeline
from penstock.state_dir import ControllerFile, controller_socket, lock_state_dir, write_controller_file

RUNNER = """
import sys, threading
from penstock.lifeline import watch_lifeline
watch_lifeline(int(sys.argv[1]))
print("model says hello", flush=True)
threading.Event().wait()
"""


class FakeAdmin(admin_pb2_grpc.AdminServiceServicer):
    def __init__(self, state_dir: Path, lifeline_fd: int, epoch: int) -> None:
        self.state_dir = state_dir
        self.lifeline_fd = lifeline_fd
        self.epoch = epoch
        self.runners: dict[str, dict[str, Any]] = {}
        self.names: dict[str, str] = {}
        saved = state_dir / "runners.json"
        if saved.exists():
            content = json.loads(saved.read_text())
            self.runners, self.names = content["runners"], content["names"]

    def ApplyDeployments(
        self, request: admin_pb2.ApplyDeploymentsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ApplyDeploymentsResponse:
        refuse = self.state_dir / "refuse"
        if refuse.exists():
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, refuse.read_text())
        assert request.prune
        response = admin_pb2.ApplyDeploymentsResponse()
        for spec in request.deployments:
            name = Path(spec.source).name
            deployment_id = f"{name}-0123abcd"
            self.names[deployment_id] = name
            response.deployments.add(name=name, deployment_id=deployment_id)
            for index in range(spec.replicas if spec.HasField("replicas") else 1):
                self._start_runner(deployment_id, index)
        (self.state_dir / "runners.json").write_text(json.dumps({"runners": self.runners, "names": self.names}))
        return response

    def _start_runner(self, deployment_id: str, index: int) -> None:
        replica_id = f"{deployment_id}-aaaa{index}"
        log_path = self.state_dir / "logs" / f"{replica_id}.log"
        with log_path.open("ab") as log:
            runner = subprocess.Popen(
                [sys.executable, "-c", RUNNER, str(self.lifeline_fd)],
                pass_fds=(self.lifeline_fd,),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.runners[replica_id] = {"deployment": deployment_id, "pid": runner.pid, "log": str(log_path)}

    def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: grpc.ServicerContext
    ) -> admin_pb2.GetStatusResponse:
        is_ready = (self.state_dir / "ready").exists()
        fail = self.state_dir / "fail"
        state, message = control_pb2.REPLICA_STATE_STARTING, "loading"
        if fail.exists():
            state, message = control_pb2.REPLICA_STATE_FAILED, fail.read_text()
        elif is_ready:
            state, message = control_pb2.REPLICA_STATE_READY, ""
        response = admin_pb2.GetStatusResponse()
        response.controller.epoch = self.epoch
        response.controller.snapshot_version = 5
        streams = self.state_dir / "streams"
        for deployment_id, name in self.names.items():
            count = sum(runner["deployment"] == deployment_id for runner in self.runners.values())
            response.deployments.add(
                name=name,
                deployment_id=deployment_id,
                ready_replicas=count if is_ready else 0,
                starting_replicas=0 if is_ready else count,
                active_streams=int(streams.read_text()) if streams.exists() else 0,
            )
        for replica_id, runner in self.runners.items():
            response.replicas.add(
                replica_id=replica_id,
                deployment_id=runner["deployment"],
                state=state,
                pid=runner["pid"],
                log_path=runner["log"],
                message=message,
            )
        try:
            edge = json.loads((self.state_dir / "edge.json").read_text())
        except (OSError, ValueError):
            return response
        response.edges.add(
            pid=edge["pid"],
            http_address=edge["http"],
            grpc_address=edge["grpc"],
            snapshot_epoch=self.epoch,
            snapshot_version=5,
        )
        return response

    def StopReplicas(
        self, request: admin_pb2.StopReplicasRequest, context: grpc.ServicerContext
    ) -> admin_pb2.StopReplicasResponse:
        for runner in self.runners.values():
            os.kill(runner["pid"], signal.SIGTERM)
        (self.state_dir / "stopped").touch()
        stopped = len(self.runners)
        self.runners.clear()
        return admin_pb2.StopReplicasResponse(stopped=stopped)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--lifeline-fd", type=int, required=True)
    arguments = parser.parse_args()
    state_dir: Path = arguments.state_dir
    if (state_dir / "controller-dies").exists():
        sys.stderr.write("the disk is full\n")
        return 3
    watch_lifeline(arguments.lifeline_fd)
    # The runners get it from us.
    os.set_inheritable(arguments.lifeline_fd, True)
    lock = lock_state_dir(state_dir)
    # The test ends it, and with it the runners, as zombies of nobody.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    counter = state_dir / "epoch"
    epoch = int(counter.read_text()) + 1 if counter.exists() else 1
    counter.write_text(str(epoch))
    server = grpc.server(ThreadPoolExecutor(4))
    admin_pb2_grpc.add_AdminServiceServicer_to_server(FakeAdmin(state_dir, arguments.lifeline_fd, epoch), server)  # type: ignore[abstract]  # the calls that are not faked
    path = controller_socket(state_dir)
    path.unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    write_controller_file(state_dir, ControllerFile(f"unix:{path}", os.getpid(), epoch))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    server.stop(None).wait()
    os.close(lock)
    (state_dir / "controller-ended").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
