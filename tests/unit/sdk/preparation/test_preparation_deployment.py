from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from penstock.preparation import deployment as module
from penstock.preparation.deployment import Prepared, mark_used, prepare
from penstock.preparation.environment import Environment
from penstock.truss import parse_config


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, in order; nothing is really fetched or built."""
    done: list[str] = []
    weights = ModuleType("penstock.weights")

    def fetch_all(_config: object, model_dir: Path, _cache_dir: Path, _report: object) -> None:
        done.append(f"fetched for {model_dir.name}")

    def build(config: object, *_args: object, before_commands: object = None) -> Environment:
        done.append("built")
        if config.build_commands:  # type: ignore[attr-defined]  # a TrussConfig; the parameter is as wide as the real one
            before_commands()  # type: ignore[operator]  # the same
            done.append("ran commands")
        return Environment(Path("/env/bin/python"), ("front", "base"), ("a problem",))

    weights.fetch_all = fetch_all  # type: ignore[attr-defined]  # a module that is made here
    monkeypatch.setitem(sys.modules, "penstock.weights", weights)
    monkeypatch.setattr(module, "build_environment", build)
    monkeypatch.setattr(module, "missing_packages", lambda names, _environ: tuple(f"missing {name}" for name in names))
    return done


DATA = "external_data: [{url: 'https://host/x', local_data_path: x}]\n"


def run(config: str) -> tuple[Prepared, list[str]]:
    reported: list[str] = []
    parsed = parse_config(config.encode(), name_default="m")
    return prepare(parsed, Path("/models/m"), Path("/cache"), reported.append), reported


def test_requirements_come_first_then_data_then_build_commands(steps: list[str]) -> None:
    run(f"{DATA}build_commands: ['true']")

    assert steps == ["built", "fetched for m", "ran commands"]


def test_data_is_fetched_without_build_commands_too(steps: list[str]) -> None:
    run(DATA)

    assert steps == ["built", "fetched for m"]


def test_a_model_without_data_fetches_nothing(steps: list[str]) -> None:
    prepared, reported = run("system_packages: [ffmpeg]")

    assert steps == ["built"]
    assert prepared == Prepared("/env/bin/python", ("front", "base"), ("missing ffmpeg", "a problem"))
    assert reported == ["missing ffmpeg", "a problem"]


def test_the_environment_in_front_is_marked_as_used(tmp_path: Path) -> None:
    folder = tmp_path / "environments" / "front"
    folder.mkdir(parents=True)
    result = tmp_path / "result.json"
    result.write_text(json.dumps({}))

    mark_used(Prepared("p", ("front", "base"), ()), tmp_path, result)

    (user,) = (folder / "users").iterdir()
    assert user.read_text() == str(result)
