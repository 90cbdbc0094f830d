"""Runs the `controller` command in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from penstock_controller.cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class ControllerCommand:
    """Calling it with arguments runs the command."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Done:
        self._capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        shown = self._capsys.readouterr()
        return Done(status, shown.out, shown.err)
