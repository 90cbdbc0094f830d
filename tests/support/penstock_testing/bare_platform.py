"""Controller and edge without `penstock up`: a test may kill the controller often, and the next one starts at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2
from penstock.state_dir import read_controller_file
from penstock_controller.actuators.process_table import live_records
from penstock_testing.static_platform import wait_until

START_SECONDS = 60.0
CALL_SECONDS = 20.0
STOP_SECONDS = 30.0


class BarePlatform:
    """One state folder, its controller, and one edge."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder / "state"
        self.log = folder / "platform.log"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        self._controller: subprocess.Popen[bytes] | None = None
        self._edge: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        found = read_controller_file(self.state_dir)
        assert found is not None
        return found.address

    def start_controller(self) -> None:
        """Returns when it listens."""
        self._controller = self._spawn("penstock_controller", "serve", "--state-dir", str(self.state_dir))
        pid = self._controller.pid

        def listens() -> bool:
            assert self._controller is not None
            assert self._controller.poll() is None, self.output()
            found = read_controller_file(self.state_dir)
            return found is not None and found.pid == pid

        wait_until(listens, START_SECONDS, "the controller listens")

    def replace_controller(self) -> None:
        """Kills the controller and starts the next."""
        assert self._controller is not None
        self._controller.kill()
        self._controller.wait()
        self.start_controller()

    def start_edge(self) -> str:
        """Returns "ws://host:port"."""
        self._edge = self._spawn(
            "penstock_edge", "--listen", "127.0.0.1:0", "--grpc-listen", "off", "--controller", self.address
        )

        def edges() -> list[admin_pb2.EdgeView]:
            # It is listed as soon as it asks, and until it has an answer it refuses everybody.
            return [edge for edge in self.status().edges if edge.http_address and edge.snapshot_epoch]

        wait_until(lambda: bool(edges()), START_SECONDS, "the edge serves")
        return f"ws://{edges()[0].http_address}"

    def status(self) -> admin_pb2.GetStatusResponse:
        with grpc.insecure_channel(self.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            return stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=CALL_SECONDS, wait_for_ready=True)

    def apply(self, source: Path, environment: str = "production") -> str:
        """Deploys a Truss beside what is there; returns its deployment id."""
        spec = admin_pb2.DeploymentSpec(source=str(source), environment=environment)
        with grpc.insecure_channel(self.address) as channel:
            answer = admin_pb2_grpc.AdminServiceStub(channel).ApplyDeployments(
                admin_pb2.ApplyDeploymentsRequest(deployments=[spec]), timeout=CALL_SECONDS
            )
        return answer.deployments[0].deployment_id

    def ready(self) -> list[admin_pb2.ReplicaView]:
        return [r for r in self.status().replicas if r.state == control_pb2.REPLICA_STATE_READY]

    def events(self) -> list[admin_pb2.Event]:
        with grpc.insecure_channel(self.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            return list(stub.ListEvents(admin_pb2.ListEventsRequest(limit=10_000), timeout=CALL_SECONDS).events)

    def output(self) -> str:
        logs = [self.log, *sorted((self.state_dir / "logs").glob("*"))]
        return "".join(f"--- {log.name}\n{log.read_text(errors='replace')}" for log in logs if log.is_file())

    def stop(self) -> None:
        """Ends everything; what does not end by itself is killed."""
        for process in (self._edge, self._controller):
            if process is not None and process.poll() is None:
                process.terminate()
        for process in (self._edge, self._controller):
            if process is not None:
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for record in live_records(self.state_dir / "run"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.process.pid, signal.SIGKILL)

    def _spawn(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


@contextmanager
def bare_platform(folder: Path) -> Iterator[BarePlatform]:
    """A controller without deployments, ended with all that it has started."""
    platform = BarePlatform(folder)
    platform.start_controller()
    try:
        yield platform
    finally:
        platform.stop()
