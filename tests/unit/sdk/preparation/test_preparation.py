from __future__ import annotations

import sys
from pathlib import Path

import pytest

import penstock.preparation as module
from penstock.preparation import ensure_environment
from penstock.preparation.environment import Environment
from penstock.truss import parse_config


def test_a_plain_model_runs_with_this_interpreter(tmp_path: Path) -> None:
    config = parse_config(b"", name_default="m")

    assert ensure_environment(config, tmp_path, tmp_path / "cache", lambda _: None) == Path(sys.executable)
    assert not (tmp_path / "cache").exists()


def test_problems_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    monkeypatch.setattr(module, "build_environment", lambda *_: Environment(Path("/env/bin/python"), (), ("old",)))

    python = ensure_environment(parse_config(b"", name_default="m"), tmp_path, tmp_path, reported.append)

    assert (python, reported) == (Path("/env/bin/python"), ["old"])
