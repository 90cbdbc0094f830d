"""One real runner process, as a test handles it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAIT_S = 30.0

WriteTruss = Callable[..., Path]
StartRunner = Callable[..., "Runner"]


class Runner:
    """One runner process; its log lines are JSON."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, run_file: Path) -> None:
        self.process = process
        self.log = log
        self.run_file = run_file

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_exit(self, timeout_s: float = WAIT_S) -> int:
        return self.process.wait(timeout_s)

    def output(self) -> str:
        return self.log.read_text()

    def events(self) -> list[dict[str, Any]]:
        """Returns the log lines of the runner itself; what the model prints is left out."""
        lines = self.output().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def event(self, name: str) -> dict[str, Any]:
        found = [event for event in self.events() if event["event"] == name]
        assert len(found) == 1, f"{name} stands {len(found)} times in:\n{self.output()}"
        return found[0]
