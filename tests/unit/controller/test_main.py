from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.main import main
from penstock_testing.fake_admin import FakeAdmin, refusal, served


@pytest.fixture
def admin() -> Iterator[tuple[FakeAdmin, str]]:
    """A controller that nothing names."""
    admin = FakeAdmin()
    admin.answer("GetStatus", admin_pb2.GetStatusResponse(controller=admin_pb2.ControllerStatus(controller_id="c1")))
    with served(admin) as address:
        yield admin, address


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PENSTOCK_CONTROLLER", raising=False)
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))


def test_status_is_json_on_request(admin: tuple[FakeAdmin, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--address", admin[1], "-o", "json"]) == 0

    assert json.loads(capsys.readouterr().out)["controller"]["id"] == "c1"


def test_address_comes_from_the_environment(
    admin: tuple[FakeAdmin, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENSTOCK_CONTROLLER", admin[1])

    assert main(["status"]) == 0

    assert "controller c1" in capsys.readouterr().out


def test_address_comes_from_the_state_folder(
    admin: tuple[FakeAdmin, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "controller.json").write_text(json.dumps({"address": admin[1], "pid": 1, "epoch": 1}))

    assert main(["status", "--state-dir", str(tmp_path / "state")]) == 0


def test_check_exits_with_three_unless_healthy(admin: tuple[FakeAdmin, str]) -> None:
    fake, address = admin
    assert main(["status", "--address", address, "--check"]) == 0

    short = admin_pb2.DeploymentStatus(name="echo", target_replicas=2, ready_replicas=1)
    fake.answer("GetStatus", admin_pb2.GetStatusResponse(deployments=[short]))

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


def test_a_refusal_is_one_line_and_its_status(admin: tuple[FakeAdmin, str], capsys: pytest.CaptureFixture[str]) -> None:
    fake, address = admin
    fake.answer("ScaleDeployment", refusal(grpc.StatusCode.NOT_FOUND, "no deployment 'foo'; there are: echo"))

    assert main(["scale", "foo", "--auto", "--address", address]) == 4
    assert capsys.readouterr().err == "controller: no deployment 'foo'; there are: echo\n"


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("controller ")


def test_output_that_cannot_be_written_ends_with_one_line(admin: tuple[FakeAdmin, str]) -> None:
    command = [sys.executable, "-P", "-m", "penstock_controller", "status", "--address", admin[1]]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False)

    assert (ended.returncode, ended.stderr) == (1, "controller: No space left on device: output\n")


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(admin: tuple[FakeAdmin, str]) -> None:
    command = [sys.executable, "-P", "-m", "penstock_controller", "status", "--address", admin[1]]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    finally:
        os.close(writing)

    assert (ended.returncode, ended.stderr) == (1, "")
