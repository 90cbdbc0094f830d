"""`penstock up --watch` with the real controller, edge and runners: what is saved is live."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from penstock_testing.up_session import UpSession, wait_until

CODE = """
class Model:
    def load(self):
        self.loads = getattr(self, "loads", 0) + 1
        open("../loads.log", "a").write("x")

    async def websocket(self, websocket):
        while True:
            await websocket.receive_text()
            await websocket.send_text("VERSION")
"""
CONFIG = "model_name: m\npenstock:\n  autoscaling: {max_concurrency: 8}\n"


class Watched:
    """A platform that watches one model."""

    def __init__(self, folder: Path, code: str) -> None:
        self.model = folder / "m"
        (self.model / "model").mkdir(parents=True)
        (self.model / "config.yaml").write_text(CONFIG)
        self.save(code)
        command = [sys.executable, "-m", "penstock.cli", "up"]
        self.up = UpSession(folder, command, str(self.model), "--watch", "--grpc-listen=off", "--replicas=1")
        self.up.start()

    def save(self, code: str) -> None:
        (self.model / "model" / "model.py").write_text(code)

    def become_ready(self) -> None:
        ready: dict[str, Any] = self.up.wait_ready()
        self.websocket = str(ready["deployments"][0]["websocket"])

    def ask(self) -> str:
        """What the code says that new streams get."""
        with connect(self.websocket) as stream:
            return told(stream)

    def wait_for_answer(self, answer: str) -> None:
        wait_until(lambda: self.ask() == answer, f"the answer {answer!r}")

    def loads(self) -> int:
        return len((self.model.parent / "loads.log").read_text())


@pytest.fixture
def watched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    found = Watched(tmp_path, getattr(request, "param", version(1)))
    yield found
    found.up.clean_up()


def version(number: int) -> str:
    return CODE.replace("VERSION", f"v{number}")


def told(stream: ClientConnection) -> str:
    stream.send("?")
    return str(stream.recv(timeout=30))


def test_saved_code_is_live_and_open_streams_stay_on_the_old(watched: Watched) -> None:
    watched.become_ready()
    with connect(watched.websocket) as old:
        assert told(old) == "v1"
        watched.save(version(2))
        watched.wait_for_answer("v2")
        assert told(old) == "v1"
        with connect(watched.websocket) as new:
            assert told(new) == "v2"

        watched.save("class Model(\n")
        watched.up.wait_for_text("was not taken over, the old code goes on serving:\n")
        watched.up.wait_for_text("(model/model.py, line 1)")
        assert watched.ask() == "v2"
        assert told(old) == "v1"

        watched.save(version(3))
        watched.wait_for_answer("v3")
    assert watched.loads() == 1
    watched.up.wait_for_text("m: model/model.py: live in ")
    watched.up.note_processes()
    watched.up.signal(signal.SIGINT)
    assert watched.up.wait_ended() == 0
    watched.up.assert_nothing_runs()


def test_what_needs_a_new_deployment_takes_over_when_it_is_ready(watched: Watched) -> None:
    watched.become_ready()
    with connect(watched.websocket) as old:
        assert told(old) == "v1"
        watched.save(version(2).replace("class Model:", "class Model(dict):"))
        watched.wait_for_answer("v2")
        watched.up.wait_for_text("A restart is needed: ")
        watched.up.wait_for_text("(deployment m-")
        assert told(old) == "v1"
    assert watched.loads() == 2

    (watched.model / "config.yaml").write_text(CONFIG + "environment_variables: {A: b}\n")
    wait_until(lambda: watched.up.text().count("(deployment m-") == 2, "the second swap")
    assert watched.ask() == "v2"
    assert watched.loads() == 3


def test_a_deployment_that_cannot_be_loaded_or_built_changes_nothing(watched: Watched) -> None:
    watched.become_ready()
    before = watched.ask()
    (watched.model / "config.yaml").write_text(CONFIG.replace("8", "many"))
    watched.up.wait_for_text("config.yaml:3:34: penstock.autoscaling.max_concurrency: must be")
    (watched.model / "config.yaml").write_text(CONFIG + "requirements: ['./no-such-wheel-1.0-py3-none-any.whl']\n")
    watched.up.wait_for_text("its build failed: ")
    assert watched.ask() == before
    # Back again: nothing is left over of the attempts.
    (watched.model / "config.yaml").write_text(CONFIG)
    watched.up.wait_for_text("m: config.yaml: live in ")
    watched.save(version(2).replace("class Model:", "class Model(dict):").replace('open("', '1 / 0; open("'))
    watched.up.wait_for_text("ZeroDivisionError")
    watched.up.wait_for_text("m: model/model.py was not taken over, what was there goes on serving")
    assert watched.ask() == before
    watched.save(version(3))
    watched.wait_for_answer("v3")
    assert watched.loads() == 1


@pytest.mark.parametrize("watched", ["raise RuntimeError('not yet')\n"], indirect=True)
def test_a_model_that_cannot_be_loaded_at_the_start_is_tried_again_when_it_is_saved(watched: Watched) -> None:
    watched.up.wait_for_text("waiting for a file to be saved")
    watched.save(version(1))
    watched.become_ready()
    assert watched.ask() == "v1"
    assert re.search(r"RuntimeError: not yet\n", watched.up.text())
