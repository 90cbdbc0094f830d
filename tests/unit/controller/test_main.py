from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller.cli.main import main


class FixedAdmin(admin_pb2_grpc.AdminServiceServicer):
    """Always answers with one status."""

    def __init__(self) -> None:
        self.status = admin_pb2.GetStatusResponse(controller=admin_pb2.ControllerStatus(controller_id="c1"))

    def GetStatus(self, request: object, context: object) -> admin_pb2.GetStatusResponse:
        return self.status

    def ApplyDeployments(self, request: object, context: object) -> admin_pb2.ApplyDeploymentsResponse:
        raise NotImplementedError

    def StopReplicas(self, request: object, context: object) -> admin_pb2.StopReplicasResponse:
        raise NotImplementedError


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[tuple[FixedAdmin, str]]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        servicer = FixedAdmin()
        admin_pb2_grpc.add_AdminServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield servicer, f"127.0.0.1:{port}"
        finally:
            ended = server.stop(None)
            assert isinstance(ended, threading.Event)
            ended.wait(10)


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PENSTOCK_CONTROLLER", raising=False)
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))


def test_status_is_json_on_request(admin: tuple[FixedAdmin, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--address", admin[1], "-o", "json"]) == 0

    assert json.loads(capsys.readouterr().out)["controller"]["id"] == "c1"


def test_address_comes_from_the_environment(
    admin: tuple[FixedAdmin, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENSTOCK_CONTROLLER", admin[1])

    assert main(["status"]) == 0

    assert "controller c1" in capsys.readouterr().out


def test_address_comes_from_the_state_folder(
    admin: tuple[FixedAdmin, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "controller.json").write_text(json.dumps({"address": admin[1], "pid": 1, "epoch": 1}))

    assert main(["status", "--state-dir", str(tmp_path / "state")]) == 0


def test_check_exits_with_three_unless_healthy(admin: tuple[FixedAdmin, str]) -> None:
    servicer, address = admin
    assert main(["status", "--address", address, "--check"]) == 0

    servicer.status.deployments.add(name="echo", target_replicas=2, ready_replicas=1)

    assert main(["status", "--address", address, "--check"]) == 3
    assert main(["status", "--address", address]) == 0


def test_controller_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["status", "--address", f"unix:{tmp_path}/none.sock", "--timeout", "0.5"]) == 1

    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"no answer from the controller at unix:{tmp_path}/none.sock" in shown.err


def test_missing_controller_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["status"]) == 1

    error = capsys.readouterr().err
    assert f"no controller is known in {tmp_path}/state" in error
    assert f"CONTROLLER DOWN: no runner of {tmp_path}/state is alive." in error


@pytest.mark.parametrize("arguments", [[], ["status", "--timeout", "0"], ["status", "-o", "xml"], ["unknown"]])
def test_bad_usage_ends_with_status_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "usage: controller" in capsys.readouterr().err
