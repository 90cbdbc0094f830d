"""A controller process per test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_testing.controller_process import Controller


@pytest.fixture
def controller() -> Iterator[Controller]:
    # Not below tmp_path: the path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        behaviour = Path(folder) / "behaviour"
        behaviour.mkdir()
        started = Controller(Path(folder) / "state", behaviour)
        try:
            yield started
        finally:
            started.clean_up()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A Truss directory."""
    folder = tmp_path / "counter"
    folder.mkdir()
    (folder / "config.yaml").write_text("model_name: counter\npenstock:\n  autoscaling:\n    max_concurrency: 8\n")
    return folder
