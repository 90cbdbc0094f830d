"""A packed directory goes to a real controller, is built and loaded by real processes, and its logs come back."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, artifact_pb2
from penstock.packing import pack_directory
from penstock.state_dir import read_controller_file
from penstock_controller.actuators.process_table import live_records
from penstock_testing.controller_process import WAIT_S, Controller, eventually

MODEL = """
import pathlib

class Model:
    def load(self):
        print("loaded", pathlib.Path("built.txt").read_text().strip(), flush=True)

    async def websocket(self, websocket):
        async for text in websocket.iter_text():
            await websocket.send_text(text)
"""


class RealController(Controller):
    """`controller serve` with real runners and builds."""

    def start(self, *, lifeline_fd: int | None = None) -> None:
        assert lifeline_fd is None
        with (self.state_dir.parent / "controller.out").open("ab") as output:
            command = [sys.executable, "-P", "-m", "penstock_controller", "serve", "--state-dir", str(self.state_dir)]
            self.process = process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

        def listens() -> bool:
            assert process.poll() is None, self.output()
            found = read_controller_file(self.state_dir)
            return found is not None and found.pid == process.pid

        eventually(listens, "the controller listens")

    def push(self, directory: Path, environment: str = "") -> admin_pb2.CreateDeploymentResponse:
        with tempfile.TemporaryFile() as archive, grpc.insecure_channel(self.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            packed = pack_directory(directory, archive)
            stored = stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=packed.artifact), timeout=WAIT_S)
            if not stored.is_stored:
                archive.seek(0)
                header = artifact_pb2.ArtifactHeader(artifact=packed.artifact, size_bytes=packed.size_bytes)
                requests = (
                    artifact_pb2.UploadArtifactRequest(header=header),
                    artifact_pb2.UploadArtifactRequest(chunk=archive.read()),
                )
                stub.UploadArtifact(iter(requests), timeout=WAIT_S)
            request = admin_pb2.CreateDeploymentRequest(artifact=packed.artifact, environment=environment)
            return stub.CreateDeployment(request, timeout=WAIT_S)

    def deployment(self, deployment_id: str) -> admin_pb2.DeploymentStatus:
        return next(d for d in self.status().deployments if d.deployment_id == deployment_id)

    def wait_phase(self, deployment_id: str, phase: str) -> admin_pb2.DeploymentStatus:
        eventually(lambda: self.deployment(deployment_id).phase == phase, f"{deployment_id} is {phase}", timeout_s=60)
        return self.deployment(deployment_id)

    def logs(self, target: str, **asked: object) -> list[str]:
        request = admin_pb2.ReadLogsRequest(**{"target": target, **asked})  # type: ignore[arg-type]  # fields by name
        with grpc.insecure_channel(self.address) as channel:
            parts = admin_pb2_grpc.AdminServiceStub(channel).ReadLogs(request, timeout=60)
            return [f"{part.origin}: {line}" for part in parts for line in part.lines]


@pytest.fixture
def real_controller() -> Iterator[RealController]:
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        started = RealController(Path(folder) / "state", Path(folder))
        started.start()
        try:
            yield started
        finally:
            started.clean_up()
            eventually(lambda: not live_records(started.state_dir / "run"), "no runner is left")


def truss(folder: Path, command: str) -> Path:
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"model_name: pushed\nbuild_commands:\n  - {command}\n")
    (folder / "model" / "model.py").write_text(MODEL)
    return folder


def test_a_pushed_model_is_built_loaded_and_promoted_and_a_second_push_needs_no_upload(
    real_controller: RealController, tmp_path: Path
) -> None:
    first = real_controller.push(truss(tmp_path / "a", "echo one > built.txt"))
    assert (first.environment, first.existed) == ("production", False)
    real_controller.wait_phase(first.deployment_id, "ACTIVE")
    lines = real_controller.logs("pushed")
    assert any(line.startswith("build: ") and "echo one" in line for line in lines)
    assert any(line.endswith(": loaded one") for line in lines)
    assert real_controller.push(truss(tmp_path / "elsewhere", "echo one > built.txt")).existed

    second = real_controller.push(truss(tmp_path / "a", "echo two > built.txt"), "production")
    assert second.deployment_id != first.deployment_id
    eventually(
        lambda: list(real_controller.deployment(second.deployment_id).environments) == ["production"],
        "production points to the second",
        timeout_s=60,
    )
    # To roll back is to promote the one from before.
    real_controller.push(truss(tmp_path / "a", "echo one > built.txt"), "production")
    eventually(
        lambda: list(real_controller.deployment(first.deployment_id).environments) == ["production"],
        "production points to the first again",
        timeout_s=60,
    )


def test_a_build_survives_the_death_of_the_controller(real_controller: RealController, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    made = real_controller.push(
        truss(tmp_path / "a", f'"until test -e {go_on}; do sleep 0.05; done; echo late > built.txt"')
    )
    real_controller.wait_phase(made.deployment_id, "BUILDING")
    eventually(lambda: "until test" in "".join(real_controller.logs("pushed")), "the build has begun")
    real_controller.kill()
    real_controller.start()
    assert real_controller.deployment(made.deployment_id).phase == "BUILDING"
    go_on.touch()
    real_controller.wait_phase(made.deployment_id, "ACTIVE")
    assert sum("until test" in line for line in real_controller.logs("pushed", build_only=True)) == 1, "built once"


def test_a_failed_build_is_clear_and_harms_nobody(real_controller: RealController, tmp_path: Path) -> None:
    good = real_controller.push(truss(tmp_path / "a", "echo one > built.txt"))
    real_controller.wait_phase(good.deployment_id, "ACTIVE")
    bad = real_controller.push(truss(tmp_path / "a", '"echo no such thing >&2; exit 3"'), "production")
    # Following the log of a build ends with the build.
    followed = real_controller.logs(bad.deployment_id, build_only=True, follow=True)
    assert any("no such thing" in line for line in followed)
    shown = real_controller.wait_phase(bad.deployment_id, "BUILD_FAILED")
    assert "exit 3" in shown.message and "status 3" in shown.message
    assert not [r for r in real_controller.status().replicas if r.deployment_id == bad.deployment_id]
    assert list(real_controller.deployment(good.deployment_id).environments) == ["production"]
    assert real_controller.deployment(good.deployment_id).phase == "ACTIVE"
