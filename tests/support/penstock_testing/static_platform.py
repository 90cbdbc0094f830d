"""A real edge and a real runner as processes, without a controller: the smallest platform that serves a model."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from penstock.process_env import child_environment
from penstock_testing.source_tree import ROOT

START_SECONDS = 60.0
"""How long a process may take to listen; importing grpc on a busy machine takes seconds."""

STOP_SECONDS = 20.0
"""How long a process may take to drain and end after SIGTERM."""

SETTLE_SECONDS = 10.0
"""How long a count may take to return to what it should be."""


@dataclass(frozen=True, slots=True)
class StaticPlatform:
    """What runs. Addresses are "host:port"."""

    model: str
    http: str
    grpc: str
    edge: subprocess.Popen[bytes]
    runner: subprocess.Popen[bytes]
    folder: Path
    _read: dict[str, int] = field(default_factory=dict)
    """Characters of each log that `new_log_lines` has returned."""

    @property
    def websocket_path(self) -> str:
        """The path of the model's WebSocket on the edge."""
        return f"/model/{self.model}/websocket"

    def new_log_lines(self) -> list[str]:
        """What both processes have written since the last call."""
        lines = []
        for name in ("edge", "runner"):
            text = (self.folder / f"{name}.log").read_text()
            lines += text[self._read.get(name, 0) :].splitlines()
            self._read[name] = len(text)
        return lines

    def ongoing_streams(self) -> int:
        """How many WebSocket streams the edge counts as open."""
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as answer:
            samples = answer.read().decode().splitlines()
        ongoing = [line for line in samples if line.startswith("baseten_ongoing_websocket_connections")]
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in ongoing)

    def assert_sound(self, *, may_log_tracebacks: bool = False) -> None:
        """Both processes live, no stream is left, and neither has logged a traceback unless a model may have."""
        log = self.new_log_lines()
        for name, process in (("edge", self.edge), ("runner", self.runner)):
            assert process.poll() is None, f"the {name} has ended\n" + "\n".join(log[-50:])
        wait_until(lambda: self.ongoing_streams() == 0, SETTLE_SECONDS, "no stream is left on the edge")
        tracebacks = [line for line in log + self.new_log_lines() if "Traceback" in line]
        assert may_log_tracebacks or tracebacks == []


@contextmanager
def static_platform(
    model_dir: Path,
    folder: Path,
    *,
    model: str,
    environment: Mapping[str, str] | None = None,
    edge_source: Callable[[str], str] | None = None,
) -> Iterator[StaticPlatform]:
    """Serves the Truss in `model_dir` as `model`; logs and ready files go to `folder`.

    Args:
        environment: Variables for the runner, beside those of this process.
        edge_source: Gets the address of the runner, and returns the options by which the edge learns of it; by default
            they name it.

    Raises:
        AssertionError: A process ended or did not listen in time; the message has its log.
    """
    runner = _start(
        "runner",
        folder,
        f"penstock_runner --replica-id r1 --deployment-id {model} --listen 127.0.0.1:0 --drain-timeout 1",
        {"--model-dir": model_dir, "--run-file": folder / "runner.json"},
        environment,
    )
    try:
        address = str(_ready(runner, folder, "runner")["address"])
        edge = _start(
            "edge",
            folder,
            "penstock_edge --listen 127.0.0.1:0 --grpc-listen 127.0.0.1:0 --drain-timeout 1 "
            + (edge_source(address) if edge_source is not None else f"--static {model}={address}"),
            {"--ready-file": folder / "edge.json"},
        )
        try:
            ready = _ready(edge, folder, "edge")
            platform = StaticPlatform(model, str(ready["http"]), str(ready["grpc"]), edge, runner, folder)
            wait_until(lambda: _readyz(platform), START_SECONDS, "the edge can reach the runner")
            yield platform
        finally:
            _stop(edge)
    finally:
        _stop(runner)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Polls `condition` until it holds; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        _pause()


def _pause() -> None:
    # Other processes have no condition to wait on; a short select keeps the polling cheap.
    signal.sigtimedwait((), 0.02)


def _start(
    name: str, folder: Path, command: str, paths: Mapping[str, Path], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    options = [str(part) for option in paths.items() for part in option]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", *command.split(), *options],
            cwd=ROOT,
            env=child_environment({**os.environ, **(environment or {})}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _ready(process: subprocess.Popen[bytes], folder: Path, name: str) -> dict[str, object]:
    """The content of a process's ready file, once it is there."""
    path = folder / f"{name}.json"
    wait_until(
        lambda: path.exists() or process.poll() is not None, START_SECONDS, f"the {name} has written {path.name}"
    )
    log = (folder / f"{name}.log").read_text()
    assert path.exists(), f"the {name} ended with {process.returncode}\n{log}"
    fields = json.loads(path.read_text())
    assert isinstance(fields, dict)
    return fields


def _readyz(platform: StaticPlatform) -> bool:
    try:
        with urllib.request.urlopen(f"http://{platform.http}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
        return
    process.kill()
    process.wait()
