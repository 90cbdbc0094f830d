"""Runs `penstock up` as a process, and makes sure that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penstock.cli.up.processes import ProcessIdentity, identify, is_alive

WAIT_S = 60.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Waits until `condition` holds; fails after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {WAIT_S} s"
        pause.wait(0.02)


class UpSession:
    """One `penstock up` under test, with its files in a folder of its own."""

    def __init__(self, folder: Path, program: Sequence[str], *arguments: str) -> None:
        """`program` is the command up to and including `up`."""
        self.state = folder / "state"
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.ready_file = folder / "ready.json"
        self.output = folder / "output"
        self.seen: set[ProcessIdentity] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.command = [
            *program,
            f"--state-dir={self.state}",
            "--listen=127.0.0.1:0",
            f"--ready-file={self.ready_file}",
            *arguments,
        ]

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def text(self) -> str:
        """Returns what it has printed so far."""
        return self.output.read_text()

    def wait_for_text(self, text: str) -> None:
        wait_until(lambda: text in self.text() or self.ended(), f"{text!r}")
        assert text in self.text(), self.text()

    def wait_ready(self) -> dict[str, Any]:
        """Returns the content of the ready file."""
        wait_until(lambda: self.ready_file.exists() or self.ended(), "ready")
        assert self.ready_file.exists(), self.text()
        self.note_processes()
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def wait_ended(self) -> int:
        assert self.process is not None
        return self.process.wait(WAIT_S)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def note_processes(self) -> None:
        """Remembers every process below it that runs now."""
        self.seen |= {process for pid in descendants(self.pid) if (process := identify(pid)) is not None}

    def assert_nothing_runs(self) -> None:
        assert self.seen, "the test looked at no process"
        wait_until(lambda: not any(is_alive(process) for process in self.seen), "the end of every process")

    def clean_up(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(WAIT_S)


def descendants(pid: int) -> list[int]:
    """Returns the processes below `pid`, the nearest first."""
    below: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            below += [child, *descendants(child)]
    return below
