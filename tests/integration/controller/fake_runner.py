"""A runner without a model, for tests of the controller: it attaches, reports, drains and ends as a runner does.

What it does is told by files in the folder $FAKE_RUNNER_DIR, which may change while it runs:
    streams        number of active streams
    fail_load      its content is reported as the reason why the model cannot be loaded
    silent         it never attaches
    streams.ID     number of active streams of the deployment ID
    loading.ID     the replicas of the deployment ID do not get ready
What its chain is made of, as it was told last, stands in peers.REPLICA.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock.lifeline import watch_lifeline

REPORT_EVERY_S = 0.05


class FakeRunner:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.behaviour = Path(os.environ["FAKE_RUNNER_DIR"])
        self.boot_id = uuid.uuid4().hex
        self.draining = False
        self.drain_deadline: float | None = None
        self.sequence = 0
        self.ended = threading.Event()

    def streams(self) -> int:
        if self.drain_deadline is not None and time.monotonic() >= self.drain_deadline:
            return 0
        for name in (f"streams.{self.arguments.deployment_id}", "streams"):
            try:
                return int((self.behaviour / name).read_text() or 0)
            except (FileNotFoundError, ValueError):
                pass
        return 0

    def status(self) -> control_pb2.ReplicaStatus:
        self.sequence += 1
        state, message = control_pb2.REPLICA_STATE_READY, ""
        if (self.behaviour / "fail_load").exists():
            state, message = control_pb2.REPLICA_STATE_FAILED, (self.behaviour / "fail_load").read_text()
        elif (self.behaviour / f"loading.{self.arguments.deployment_id}").exists():
            state = control_pb2.REPLICA_STATE_STARTING
        elif self.draining:
            state = control_pb2.REPLICA_STATE_DRAINING
        return control_pb2.ReplicaStatus(
            sequence=self.sequence, state=state, message=message, active_streams=self.streams(), stream_capacity=8
        )

    def requests(self, answers: queue.Queue[control_pb2.AttachRequest | None]) -> Iterator[control_pb2.AttachRequest]:
        a = self.arguments
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        register = control_pb2.Register(
            replica_id=a.replica_id,
            deployment_id=a.deployment_id,
            boot_id=self.boot_id,
            address="127.0.0.1:1",
            pid=os.getpid(),
            pid_start_ticks=ticks,
            protocol_version=1,
            version="fake",
            status=self.status(),
        )
        register.started_at.GetCurrentTime()
        yield control_pb2.AttachRequest(register=register)
        last = register.status
        while not self.ended.is_set():
            try:
                answer = answers.get(timeout=REPORT_EVERY_S)
                if answer is None:
                    return
                yield answer
            except queue.Empty:
                pass
            status = self.status()
            if (status.state, status.active_streams) != (last.state, last.active_streams) or status.sequence % 20 == 0:
                yield control_pb2.AttachRequest(status=status)
                last = status

    def attach_forever(self) -> None:
        while not self.ended.is_set():
            answers: queue.Queue[control_pb2.AttachRequest | None] = queue.Queue()
            # As a real runner does: a fresh channel and subchannel each time, or gRPC backs off for seconds.
            with (
                contextlib.suppress(grpc.RpcError),
                grpc.insecure_channel(
                    self.arguments.controller, options=[("grpc.use_local_subchannel_pool", 1)]
                ) as channel,
            ):
                stub = control_pb2_grpc.RunnerRegistryServiceStub(channel)
                for response in stub.Attach(self.requests(answers)):
                    if response.WhichOneof("kind") == "drain":
                        answers.put(self.drain(response.drain))
                    elif response.WhichOneof("kind") == "chain_peers":
                        write(self.behaviour / f"peers.{self.arguments.replica_id}", str(response.chain_peers))
            answers.put(None)
            self.ended.wait(0.1)

    def drain(self, drain: control_pb2.Drain) -> control_pb2.AttachRequest:
        accepted = not (drain.if_idle and self.streams())
        if accepted:
            self.draining = True
            if drain.HasField("grace"):
                self.drain_deadline = time.monotonic() + drain.grace.seconds + drain.grace.nanos / 1e9
        result = control_pb2.DrainResult(drain_id=drain.drain_id, accepted=accepted, active_streams=self.streams())
        return control_pb2.AttachRequest(drain_result=result)


def write(path: Path, text: str) -> None:
    """Nobody sees half of it."""
    path.with_name(f".{path.name}").write_text(text)
    path.with_name(f".{path.name}").replace(path)


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in (
        "model-dir",
        "replica-id",
        "deployment-id",
        "deployment-name",
        "environment",
        "controller",
        "run-file",
    ):
        parser.add_argument(f"--{name}")
    parser.add_argument("--lifeline-fd", type=int)
    runner = FakeRunner(parser.parse_args())
    if runner.arguments.lifeline_fd is not None:
        watch_lifeline(runner.arguments.lifeline_fd)
    sys.stdout.write(f"fake runner of {runner.arguments.replica_id}\n")
    signal.signal(signal.SIGTERM, lambda *_: runner.ended.set())
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    content = {
        "replica_id": runner.arguments.replica_id,
        "deployment_id": runner.arguments.deployment_id,
        "pid": os.getpid(),
        "pid_start_ticks": ticks,
        "address": "127.0.0.1:1",
        "boot_id": runner.boot_id,
    }
    run_file = Path(runner.arguments.run_file)
    run_file.with_suffix(".tmp").write_text(json.dumps(content))
    run_file.with_suffix(".tmp").replace(run_file)
    if (runner.behaviour / "silent").exists():
        runner.ended.wait()
        return 0
    thread = threading.Thread(target=runner.attach_forever, daemon=True)
    thread.start()
    if (runner.behaviour / "fail_load").exists():
        runner.ended.wait(0.3)
        return 1
    runner.ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
