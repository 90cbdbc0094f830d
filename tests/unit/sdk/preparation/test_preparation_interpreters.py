from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.preparation import interpreters
from penstock.preparation.interpreters import find_all, find_interpreter, probe


def make_interpreter(path: Path, version: str) -> str:
    """A program that answers as an interpreter of `version`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version} {path}\n")
    path.chmod(0o755)
    return str(path)


def test_the_running_interpreter_says_its_version() -> None:
    found = probe(sys.executable)

    assert found is not None
    assert found.version == "{}.{}.{}".format(*sys.version_info[:3])


def test_an_interpreter_is_found_on_path(tmp_path: Path) -> None:
    path = make_interpreter(tmp_path / "bin" / "python3.12", "3.12.4")

    found = find_interpreter("3.12", {"PATH": f"/nowhere:{tmp_path / 'bin'}"})

    assert found is not None
    assert str(found) == f"3.12.4 ({path})"


def test_a_shim_that_does_not_run_is_passed_over_for_the_newest_of_pyenv(tmp_path: Path) -> None:
    shim = tmp_path / "shims" / "python3.12"
    make_interpreter(shim, "")
    shim.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    root = tmp_path / "pyenv"
    for version in ("3.12.9", "3.12.10", "3.1.5"):
        make_interpreter(root / "versions" / version / "bin" / "python3.12", version)
    (root / "versions" / "3.12-dev").mkdir()

    found = find_interpreter("3.12", {"PATH": str(shim.parent), "PYENV_ROOT": str(root)})

    assert found is not None
    assert found.version == "3.12.10"


def test_uv_is_asked_and_told_to_download_nothing(tmp_path: Path) -> None:
    path = make_interpreter(tmp_path / "managed" / "python3.13", "3.13.1")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(f'#!/bin/sh\necho "$@ $UV_PYTHON_DOWNLOADS" > {tmp_path}/asked\necho {path}\n')
    uv.chmod(0o755)

    found = find_interpreter("3.13", {"PATH": str(uv.parent)})

    assert found is not None
    assert found.path == path
    assert (tmp_path / "asked").read_text() == "python find --no-project 3.13 never\n"


def test_one_that_lies_about_its_version_is_not_taken(tmp_path: Path) -> None:
    make_interpreter(tmp_path / "python3.12", "3.11.9")

    assert find_interpreter("3.12", {"PATH": str(tmp_path)}) is None


def test_one_that_fails_or_hangs_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "PROBE_TIMEOUT_S", 0.2)
    failing = Path(make_interpreter(tmp_path / "failing", "3.12.1"))
    failing.write_text(failing.read_text() + "exit 1\n")
    hanging = Path(make_interpreter(tmp_path / "hanging", "3.12.1"))
    hanging.write_text(hanging.read_text() + "exec sleep 60\n")

    assert probe(str(failing)) is None
    assert probe(str(hanging)) is None
    assert probe(str(tmp_path / "gone")) is None


def test_all_versions_are_listed_but_the_platforms_own(tmp_path: Path) -> None:
    for minor in (10, 11, 12, 13):
        make_interpreter(tmp_path / f"python3.{minor}", f"3.{minor}.1")

    found = find_all({"PATH": str(tmp_path)}, lowest_minor="3.11", but="3.12")

    assert [interpreter.version for interpreter in found] == ["3.11.1", "3.13.1"]
