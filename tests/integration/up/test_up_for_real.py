"""`penstock up` with the real controller, edge and runners."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from penstock.cli.up.processes import identify, is_alive, kill
from penstock_testing.source_tree import ROOT
from penstock_testing.up_session import WAIT_S, UpSession, wait_until

ECHO = str(ROOT / "examples" / "echo")
MakeUp = Callable[..., UpSession]


@pytest.fixture
def make_up(tmp_path: Path) -> Iterator[MakeUp]:
    sessions: list[UpSession] = []

    def make(*arguments: str) -> UpSession:
        sessions.append(UpSession(tmp_path, [sys.executable, "-m", "penstock.cli", "up"], *arguments))
        sessions[-1].start()
        return sessions[-1]

    yield make
    for session in sessions:
        session.clean_up()


def make_model(folder: Path, code: str) -> str:
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"model_name: {folder.name}\n")
    (folder / "model" / "model.py").write_text(code)
    return str(folder)


def test_stream_finishes_after_an_interrupt(make_up: MakeUp) -> None:
    up = make_up(ECHO, "--replicas=2", "--drain-timeout=60")
    (deployment,) = up.wait_ready()["deployments"]
    assert deployment["replicas"] == 2
    with connect(deployment["websocket"]) as client:
        client.send("before")
        assert client.recv(WAIT_S) == "before"
        up.signal(signal.SIGINT)
        up.wait_for_text("waiting for 1 stream, at most 60 s")
        client.send("while draining")
        assert client.recv(WAIT_S) == "while draining"
    assert up.wait_ended() == 0, up.text()
    assert len(up.seen) == 4
    up.assert_nothing_runs()


def test_streams_that_do_not_end_in_time_are_counted(make_up: MakeUp) -> None:
    up = make_up(ECHO, "--drain-timeout=2")
    (deployment,) = up.wait_ready()["deployments"]
    with connect(deployment["websocket"]) as one, connect(deployment["websocket"]) as two:
        for client in (one, two):
            client.send("here")
            assert client.recv(WAIT_S) == "here"
        up.signal(signal.SIGINT)
        for client in (one, two):
            with pytest.raises(ConnectionClosedError) as closed:
                client.recv(WAIT_S)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
    assert up.wait_ended() == 0, up.text()
    assert "2 streams were still open after 2 s and are closed with 1012\n" in up.text()
    up.assert_nothing_runs()


def test_printed_lines_can_be_pasted_in_the_same_shell_and_folder(make_up: MakeUp) -> None:
    up = make_up(ECHO)
    up.wait_ready()
    up.wait_for_text("Press Ctrl-C")
    (talk,) = (line.strip() for line in up.text().splitlines() if " -m websockets " in line)
    (status,) = (line.partition("Status")[2] for line in up.text().splitlines() if line.startswith("  Status "))

    talked = subprocess.run(["sh", "-c", talk], input="", capture_output=True, text=True, timeout=WAIT_S, check=False)
    shown = subprocess.run(["sh", "-c", status], capture_output=True, text=True, timeout=WAIT_S, check=False)

    assert "Connected to ws://" in talked.stdout, talked.stderr
    assert shown.stdout.startswith("HEALTHY"), shown.stderr


def test_model_without_a_websocket_method_is_called_by_requests(make_up: MakeUp, tmp_path: Path) -> None:
    up = make_up(make_model(tmp_path / "predictor", "class Model:\n    def predict(self, inputs):\n        pass\n"))
    (deployment,) = up.wait_ready()["deployments"]

    with connect(deployment["websocket"]) as client, pytest.raises(ConnectionClosedError) as closed:
        client.recv(WAIT_S)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003
    up.wait_for_text("/model/predictor/predict -d '{}'\n")


def test_second_interrupt_ends_at_once(make_up: MakeUp) -> None:
    up = make_up(ECHO, "--drain-timeout=600")
    (deployment,) = up.wait_ready()["deployments"]
    with connect(deployment["websocket"]) as client:
        up.signal(signal.SIGINT)
        up.wait_for_text("waiting for 1 stream")
        up.signal(signal.SIGINT)
        with pytest.raises(ConnectionClosedError):
            client.recv(WAIT_S)
    assert up.wait_ended() == 130, up.text()
    up.assert_nothing_runs()
    assert "Traceback" not in up.text()


def test_kill_leaves_nothing(make_up: MakeUp) -> None:
    up = make_up(ECHO)
    up.wait_ready()
    up.signal(signal.SIGKILL)
    up.wait_ended()
    up.assert_nothing_runs()


def test_killed_controller_costs_no_stream_and_adopts_the_runners(make_up: MakeUp) -> None:
    up = make_up(ECHO)
    content = up.wait_ready()
    known = json.loads((up.state / "controller.json").read_text())
    with connect(content["deployments"][0]["websocket"]) as client:
        controller = identify(known["pid"])
        assert controller is not None
        kill(controller)
        wait_until(lambda: json.loads((up.state / "controller.json").read_text()) != known, "a new controller")
        client.send("still here")
        assert client.recv(WAIT_S) == "still here"
    assert sum(is_alive(process) for process in up.seen) == len(up.seen) - 1
    up.note_processes()
    up.signal(signal.SIGINT)
    assert up.wait_ended() == 0, up.text()
    up.assert_nothing_runs()


def test_model_that_cannot_be_loaded_shows_its_own_frames_only(make_up: MakeUp, tmp_path: Path) -> None:
    code = "class Model:\n    def load(self):\n        self.helper()\n    def helper(self):\n        1 / 0\n"
    code += "    async def websocket(self, ws):\n        pass\n"
    up = make_up(make_model(tmp_path / "broken", code))
    assert up.wait_ended() == 1
    text = up.text()
    verdict = text[text.index("broken: the model cannot be loaded") :]
    assert "ZeroDivisionError: division by zero" in verdict
    assert verdict.index("line 3, in load") < verdict.index("line 5, in helper")
    assert "penstock" not in "".join(line for line in text.splitlines() if line.lstrip().startswith("File "))
    assert "Ready in" not in text
    assert subprocess.run(["pgrep", "-f", str(up.state)], capture_output=True, check=False).stdout == b""


def test_process_that_dies_while_loading_is_given_up(make_up: MakeUp, tmp_path: Path) -> None:
    code = "import os\nclass Model:\n    def load(self):\n        print('so far', flush=True)\n        os.abort()\n"
    code += "    async def websocket(self, ws):\n        pass\n"
    up = make_up(make_model(tmp_path / "abort", code))
    assert up.wait_ended() == 1
    assert "abort: the model cannot be loaded\n" in up.text()
    assert "the process was ended by SIGABRT before its model was loaded" in up.text()
    assert "so far" in up.text()


def test_state_folder_of_a_failed_call_can_be_used_again(make_up: MakeUp, tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path\nclass Model:\n    def load(self):\n        Path('{tmp_path}/weights').read_text()\n"
    )
    code += "    async def websocket(self, ws):\n        pass\n"
    model = make_model(tmp_path / "later", code)
    assert make_up(model).wait_ended() == 1
    (tmp_path / "weights").touch()
    up = make_up(model)
    up.wait_ready()
    up.signal(signal.SIGTERM)
    assert up.wait_ended() == 0, up.text()
    up.assert_nothing_runs()
