from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.control.v1 import admin_pb2, load_pb2
from penstock_controller.cli import following
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin

SECONDS = 15.0


def status(controller_id: str) -> admin_pb2.GetStatusResponse:
    return admin_pb2.GetStatusResponse(controller=admin_pb2.ControllerStatus(controller_id=controller_id, epoch=1))


def load(second: int, admitted: int) -> load_pb2.RecordLoadResponse:
    echo = load_pb2.DeploymentLoad(deployment_id="echo-1", name="echo", admitted_total=admitted)
    return load_pb2.RecordLoadResponse(at=Timestamp(seconds=1_769_860_800 + second), loads=[echo])


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def recorded(fake_admin: FakeAdmin) -> FakeAdmin:
    """A controller with a load to record."""
    fake_admin.answer("GetStatus", status("c1"))
    fake_admin.answer("RecordLoad", [load(0, 5), load(1, 6), load(2, 8)])
    return fake_admin


def test_load_is_written_until_the_duration_is_over(
    recorded: FakeAdmin, controller: ControllerCommand, tmp_path: Path
) -> None:
    done = controller("events", "--record", str(tmp_path / "f"), "--deployment", "echo", "--duration", "2")

    assert (done.status, done.out) == (0, "")
    assert done.err.splitlines() == ["controller: recording; Ctrl-C ends it", "controller: recorded 5 lines"]
    assert [(line["kind"], line.get("admitted_total")) for line in lines_of(tmp_path / "f")] == [
        *(("penstock-load-trace", None), ("load", 0), ("load", 1), ("load", 3), ("end", None)),
    ]
    assert recorded.requests["RecordLoad"] == [load_pb2.RecordLoadRequest(deployment="echo")]


def test_a_restart_of_the_controller_is_a_gap_in_the_file(
    fake_admin: FakeAdmin, controller: ControllerCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY_S_MIN", 0.001)
    fake_admin.answer("GetStatus", status("c1"), grpc.StatusCode.UNAVAILABLE, status("c2"))
    fake_admin.answer("RecordLoad", [load(0, 5)], [load(9, 1)])

    done = controller("events", "--record", str(tmp_path / "f"), "--duration", "1")

    assert done.err.splitlines()[-1] == "controller: recorded 5 lines, 1 gap"
    gap = lines_of(tmp_path / "f")[2]
    assert (gap["kind"], gap["t"], gap["until_t"], gap["restarted"]) == ("gap", 0.0, 9.0, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_line_is_in_the_file_at_once_and_a_signal_ends_it_in_order(
    recorded: FakeAdmin, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "penstock_controller", "events", "--record", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            seen = b""
            while seen.count(b"\n") < 4:
                ready, _, _ = select.select([process.stdout], [], [], SECONDS)
                assert ready, process.stderr.read()
                seen += os.read(process.stdout.fileno(), 65536)
            process.send_signal(number)
            rest, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()

    assert process.returncode == 0
    assert json.loads((seen + rest).splitlines()[-1])["kind"] == "end"
    assert err.endswith(b"controller: recorded 5 lines\n")


def test_a_file_that_exists_is_kept(recorded: FakeAdmin, controller: ControllerCommand, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("precious")

    done = controller("events", "--record", str(tmp_path / "f"))

    assert done.status == 1
    assert "exists; give another name, or remove it" in done.err
    assert (tmp_path / "f").read_text() == "precious"


def test_a_file_that_cannot_be_written_is_named(
    recorded: FakeAdmin, controller: ControllerCommand, tmp_path: Path
) -> None:
    missing = controller("events", "--record", str(tmp_path / "no" / "f"))
    full = controller("events", "--record", "/dev/full")

    assert (missing.status, full.status) == (1, 1)
    assert f"cannot write {tmp_path}/no/f: No such file or directory" in missing.err
    assert "cannot write /dev/full: No space left on device" in full.err


def test_a_controller_that_does_not_answer_leaves_no_file(
    fake_admin: FakeAdmin, controller: ControllerCommand, tmp_path: Path
) -> None:
    done = controller("events", "--record", str(tmp_path / "f"))

    assert done.status == 1
    assert "older than this program" in done.err
    assert not (tmp_path / "f").exists()
