"""`penstock up` as a process, with a fake controller and a fake edge as its children."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock_testing.up_session import WAIT_S, UpSession, wait_until

DRIVER = Path(__file__).parent / "drive_up.py"


class FakedUp(UpSession):
    """`penstock up` whose controller and edge are told what to do by files in the state folder."""

    def __init__(self, folder: Path, *arguments: str, model_names: tuple[str, ...] = ("echo",)) -> None:
        models = []
        for name in model_names:
            model = folder / name
            model.mkdir()
            (model / "config.yaml").write_text(f"model_name: {name}\n")
            models.append(str(model))
        super().__init__(folder, [sys.executable, str(DRIVER), str(folder / "state")], *models, *arguments)

    def say(self, name: str, text: str = "") -> None:
        (self.state / name).write_text(text)

    def become_ready(self) -> dict[str, Any]:
        self.say("ready")
        return self.wait_ready()

    def children(self) -> dict[str, int]:
        """Pids of the controller, the edge and the runners."""
        found = {
            "controller": json.loads((self.state / "controller.json").read_text())["pid"],
            "edge": json.loads((self.state / "edge.json").read_text())["pid"],
        }
        for replica_id, runner in json.loads((self.state / "runners.json").read_text())["runners"].items():
            found[replica_id] = runner["pid"]
        return found


@pytest.fixture
def up(tmp_path: Path) -> Iterator[FakedUp]:
    session = FakedUp(tmp_path)
    yield session
    session.clean_up()


def test_ready_is_said_only_when_every_replica_is(up: FakedUp) -> None:
    up.start()
    up.wait_for_text("echo: 0 of 1 replica ready (1 starting, loading)")
    assert not up.ready_file.exists()
    assert "Ready" not in up.text()
    content = up.become_ready()
    assert up.text().index("0 of 1 replica ready") < up.text().index("Ready in")

    url = content["edge"]["url"]
    assert content["edge"]["http"] == url.replace("ws://", "http://")
    assert content["edge"]["grpc"].startswith("127.0.0.1:")
    assert content["controller"]["state_dir"] == str(up.state)
    assert content["controller"]["address"] == json.loads((up.state / "controller.json").read_text())["address"]
    assert content["deployments"] == [
        {
            "name": "echo",
            "id": "echo-0123abcd",
            "websocket": f"{url}/model/echo/websocket",
            "predict": f"http{url.removeprefix('ws')}/model/echo/predict",
            "endpoints": [],
            "replicas": 1,
        }
    ]
    assert f"websocat {url}/model/echo/websocket\n" in up.text()
    assert f"python -m websockets {url}/model/echo/websocket\n" in up.text()


def test_interrupt_ends_everything_in_order(up: FakedUp) -> None:
    up.start()
    up.become_ready()
    up.signal(signal.SIGINT)
    assert up.wait_ended() == 0
    up.assert_nothing_runs()
    order = [(up.state / name).stat().st_mtime_ns for name in ("edge-ended", "stopped", "controller-ended")]
    assert order == sorted(order)
    assert not up.ready_file.exists()


def test_termination_is_an_interrupt(up: FakedUp) -> None:
    up.start()
    up.become_ready()
    up.signal(signal.SIGTERM)
    assert up.wait_ended() == 0
    up.assert_nothing_runs()


def test_open_streams_are_told_and_a_second_interrupt_ends_at_once(up: FakedUp) -> None:
    up.say("hold")
    up.say("streams", "3")
    up.command.append("--drain-timeout=600")
    up.start()
    up.become_ready()
    up.signal(signal.SIGINT)
    up.wait_for_text("waiting for 3 streams, at most 600 s")
    up.signal(signal.SIGINT)
    assert up.wait_ended() == 130
    up.assert_nothing_runs()
    assert "Traceback" not in up.text()


def test_kill_leaves_nothing(up: FakedUp) -> None:
    up.start()
    up.become_ready()
    up.signal(signal.SIGKILL)
    assert up.wait_ended() == -9
    up.assert_nothing_runs()


def test_interrupt_while_loading_ends_everything(up: FakedUp) -> None:
    up.start()
    up.wait_for_text("0 of 1 replica ready")
    wait_until((up.state / "edge.json").exists, "the edge")
    up.note_processes()
    up.signal(signal.SIGINT)
    assert up.wait_ended() == 130
    up.assert_nothing_runs()
    assert "Ready" not in up.text()


def test_controller_is_started_again_and_runners_live_on(up: FakedUp) -> None:
    up.start()
    up.become_ready()
    before = up.children()
    os.kill(before["controller"], signal.SIGKILL)
    wait_until(lambda: up.children()["controller"] != before["controller"], "a new controller")
    up.note_processes()
    after = up.children()
    assert {**after, "controller": 0} == {**before, "controller": 0}
    up.wait_for_text("the controller was killed by signal 9; it starts again in")
    up.signal(signal.SIGINT)
    assert up.wait_ended() == 0
    up.assert_nothing_runs()
    assert ": ended" not in up.text()


def test_edge_is_started_again_at_the_same_address(up: FakedUp) -> None:
    up.start()
    content = up.become_ready()
    before = up.children()["edge"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: up.children()["edge"] != before, "a new edge")
    up.note_processes()
    edge = json.loads((up.state / "edge.json").read_text())
    assert f"ws://{edge['http']}" == content["edge"]["url"]
    assert edge["grpc"] == content["edge"]["grpc"]
    up.signal(signal.SIGINT)
    assert up.wait_ended() == 0
    up.assert_nothing_runs()


def test_controller_that_dies_again_and_again_is_given_up(up: FakedUp) -> None:
    up.start()
    up.become_ready()
    up.say("controller-dies")
    os.kill(up.children()["controller"], signal.SIGKILL)
    assert up.wait_ended() == 1
    assert "5 times in all; it is not started again:\n  the disk is full\n" in up.text()
    assert "Traceback" not in up.text()
    up.assert_nothing_runs()


def test_controller_that_cannot_start_is_not_tried_again(up: FakedUp) -> None:
    up.say("controller-dies")
    up.start()
    assert up.wait_ended() == 1
    assert "penstock up: the controller ended with status 3:\n  the disk is full\n" in up.text()
    assert "Traceback" not in up.text()


def test_failed_model_shows_its_own_traceback_only(up: FakedUp) -> None:
    reason = 'Traceback (most recent call last):\n  File "model.py", line 3, in load\n    1 / 0\nZeroDivisionError: x'
    up.start()
    up.wait_for_text("model says hello")
    up.note_processes()
    up.say("fail", reason)
    assert up.wait_ended() == 1
    assert f"\necho: the model cannot be loaded\n\n{reason}\n" in up.text()
    assert up.text().count("Traceback") == 1
    assert "Ready" not in up.text()
    assert not up.ready_file.exists()
    up.assert_nothing_runs()


def test_refused_deployment_is_a_clear_error(up: FakedUp) -> None:
    up.say("refuse", "name: must be short")
    up.start()
    assert up.wait_ended() == 1
    assert "penstock up: the controller refused the deployments: name: must be short\n" in up.text()
    assert "Traceback" not in up.text()


def test_output_of_models_goes_on_after_ready_with_a_prefix(up: FakedUp) -> None:
    up.start()
    up.become_ready()
    up.wait_for_text("echo/aaaa0 | model says hello\n")
    with (up.state / "logs" / "echo-0123abcd-aaaa0.log").open("a") as log:
        log.write("later\n")
    up.wait_for_text("echo/aaaa0 | later\n")


def test_several_models_and_replicas(tmp_path: Path) -> None:
    up = FakedUp(tmp_path, "--replicas=2", "--grpc-listen=off", model_names=("echo", "voice"))
    up.start()
    content = up.become_ready()
    assert [(item["name"], item["replicas"]) for item in content["deployments"]] == [("echo", 2), ("voice", 2)]
    assert content["edge"]["grpc"] is None
    up.signal(signal.SIGINT)
    assert up.wait_ended() == 0
    up.assert_nothing_runs()
    assert len(up.seen) == 6


def test_state_folder_in_use_is_refused_before_anything_starts(up: FakedUp, tmp_path: Path) -> None:
    up.start()
    up.become_ready()
    second = subprocess.run(up.command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert second.returncode == 2
    assert "is in use by another controller (pid" in second.stderr
    assert "--state-dir" in second.stderr
    assert up.ready_file.exists()


def test_port_in_use_is_a_clear_error(up: FakedUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up.command.append(f"--listen=127.0.0.1:{port}")
        up.start()
        assert up.wait_ended() == 1
    assert up.text() == (
        f"penstock up: cannot listen at 127.0.0.1:{port}: address already in use; "
        "choose another address with --listen\n"
    )


def test_folder_without_a_model_is_wrong_use(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVER), "-", str(tmp_path / "nothing"), f"--state-dir={tmp_path / 'state'}"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "config.yaml" in done.stderr
    assert "Traceback" not in done.stderr
