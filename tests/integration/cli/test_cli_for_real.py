"""The commands for people who build models, one after the other, on the real platform."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock_testing.platform import Platform, running_platform
from penstock_testing.static_platform import wait_until

SECONDS = 60.0
PENSTOCK = [sys.executable, "-m", "penstock.cli"]

STORY = """
import asyncio


class Model:
    async def predict(self, value):
        for word in value["words"]:
            yield word + " "
            await asyncio.sleep(0)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, kind in (("talker", "--websocket"), ("asker", "--predict"), ("story", "--predict")):
        subprocess.run([*PENSTOCK, "init", str(folder / name), kind], check=True, capture_output=True)
    (folder / "story" / "model" / "model.py").write_text(STORY)
    return folder


@pytest.fixture(scope="module")
def platform(models: Path) -> Iterator[Platform]:
    with running_platform([models / "talker", models / "asker", models / "story"]) as running:
        yield running


@pytest.fixture
def environment(platform: Platform) -> dict[str, str]:
    return os.environ | {"PENSTOCK_STATE_DIR": str(platform.state_dir)}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def run(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PENSTOCK, *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            timeout=SECONDS,
            check=False,
        )

    return run


def test_what_init_makes_runs_as_it_is(run: Run) -> None:
    assert run("call", "talker", "hello", "--quiet", "0.2").stdout == "HELLO\n"
    assert json.loads(run("call", "asker", '{"text": "hello"}').stdout) == {"text": "HELLO"}


def test_the_same_over_grpc(run: Run) -> None:
    assert run("call", "talker", "hello", "--grpc", "--quiet", "0.2").stdout == "HELLO\n"
    assert json.loads(run("call", "asker", '{"text": "hello"}', "--grpc").stdout) == {"text": "HELLO"}


def test_lines_of_standard_input_are_messages(run: Run) -> None:
    assert run("call", "talker", "--file", "-", "--quiet", "0.2", stdin="a\nb\n").stdout == "A\nB\n"
    assert json.loads(run("call", "asker", stdin='{"text": "x"}').stdout) == {"text": "X"}


def test_a_streamed_answer_is_shown(run: Run) -> None:
    answer = run("call", "story", '{"words": ["once", "upon"]}')
    assert (answer.returncode, answer.stdout) == (0, "once upon ")


def test_errors_have_a_status_and_a_text(run: Run) -> None:
    failed = run("call", "asker", "{}")
    assert failed.returncode == 1
    assert "HTTP 500: Internal Server Error" in failed.stderr
    assert "penstock logs asker" in failed.stderr
    assert "KeyError: 'text'" in run("logs", "asker").stdout
    assert run("call", "nobody", "{}").returncode == 4
    assert run("logs", "nobody").returncode == 4


def test_a_push_brings_code_once_and_can_be_rolled_back(run: Run, models: Path, platform: Platform) -> None:
    code = models / "asker" / "model" / "model.py"
    code.write_text(code.read_text().replace('"text": self._answer', '"said": self._answer'))
    first = run("push", models / "asker", "--wait", "-o", "json")
    assert first.returncode == 0, first.stderr
    pushed = json.loads(first.stdout)
    assert (pushed["environment"], pushed["uploaded"], pushed["phase"]) == (None, True, "ACTIVE")

    deployed = run("call", "asker", '{"text": "a"}', "--deployment", pushed["deployment_id"])
    assert json.loads(deployed.stdout) == {"said": "A"}
    assert json.loads(run("call", "asker", '{"text": "a"}').stdout) == {"text": "A"}

    again = run("push", models / "asker", "--promote", "--wait", "-o", "json")
    assert again.returncode == 0, again.stderr
    assert (json.loads(again.stdout)["uploaded"], json.loads(again.stdout)["existed"]) == (False, True)
    assert json.loads(run("call", "asker", '{"text": "a"}').stdout) == {"said": "A"}

    code.write_text(code.read_text().replace('"said": self._answer', '"cried": self._answer'))
    assert run("push", models / "asker", "--promote", "--wait").returncode == 0
    assert json.loads(run("call", "asker", '{"text": "a"}').stdout) == {"cried": "A"}

    platform.command("promote", pushed["deployment_id"])
    wait_until(
        lambda: json.loads(run("call", "asker", '{"text": "a"}').stdout) == {"said": "A"},
        SECONDS,
        "the old code is back",
    )


def test_a_push_that_will_not_serve_says_why(run: Run, models: Path) -> None:
    subprocess.run([*PENSTOCK, "init", str(models / "broken")], check=True, capture_output=True)
    code = models / "broken" / "model" / "model.py"
    code.write_text(code.read_text().replace("self._answer = str.upper", "raise OSError('no weights')"))
    failed = run("push", models / "broken", "--wait")
    assert failed.returncode == 1
    assert "broken-" in failed.stderr
    assert "will not serve (DEPLOY_FAILED)" in failed.stderr
    assert "OSError: no weights" in failed.stderr
    assert failed.stdout == ""


def test_a_log_is_followed(environment: dict[str, str], run: Run) -> None:
    command = [*PENSTOCK, "logs", "asker", "-f", "--tail", "1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as following:
        try:
            run("call", "asker", '{"wrong": 1}')
            assert following.stdout is not None
            deadline = time.monotonic() + SECONDS
            seen = ""
            while "KeyError" not in seen and time.monotonic() < deadline:
                seen += following.stdout.readline()
            assert "KeyError" in seen
        finally:
            following.terminate()


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._fd, inner = pty.openpty()
        self.process = subprocess.Popen(
            command, env=env | {"TERM": "xterm"}, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        self.text = ""

    def write(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._fd, 65536).decode()
                except OSError:
                    break
        assert text in self.text, self.text

    def close(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        os.close(self._fd)


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Terminal]:
    opened = Terminal([*PENSTOCK, "call", "talker"], environment)
    yield opened
    opened.close()


def test_a_terminal_is_a_conversation(terminal: Terminal) -> None:
    terminal.wait_for("connected to talker")
    terminal.wait_for("> ")
    terminal.write("hello\r")
    terminal.wait_for("HELLO")
    terminal.write("/help\r")
    terminal.wait_for("send a file as a binary message")
    terminal.write("\x04")
    terminal.wait_for("the stream ended with 1000")
    assert terminal.process.wait(SECONDS) == 0


def test_a_conversation_may_be_closed_with_a_code(terminal: Terminal) -> None:
    terminal.wait_for("> ")
    terminal.write("/close 4002 enough\r")
    terminal.wait_for("the stream ended with 4002: enough")
    assert terminal.process.wait(SECONDS) == 1


def test_a_script_runs_in_the_environment_of_a_model(run: Run, models: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nfrom model.model import Model\nprint(Model.__module__, os.getcwd(), sys.argv[1:])\n"
    )
    done = run("run-python", script, "--dir", models / "asker", "a", "--wait")
    assert done.stdout == f"model.model {models / 'asker'} ['a', '--wait']\n", done.stderr
