from __future__ import annotations

from pathlib import Path

import pytest

from penstock_testing.npm_packages import NpmError, install_packages


class Npm:
    """A program in place of npm, which notes its calls."""

    def __init__(self, folder: Path, then: str) -> None:
        self.calls = folder / "calls"
        self.program = folder / "npm"
        self.program.write_text(f'#!/bin/sh\necho "$@" >> {self.calls}\n{then}\n')
        self.program.chmod(0o755)

    def install(self, folder: Path, run: str = "run 1", seconds: float = 30.0) -> None:
        install_packages(str(self.program), ("ws@8", "wscat@6"), folder, run=run, seconds=seconds)

    def count(self) -> int:
        return len(self.calls.read_text().splitlines())


def test_packages_are_installed_once_for_all_runs(tmp_path: Path) -> None:
    npm = Npm(tmp_path, "exit 0")

    npm.install(tmp_path / "packages", "run 1")
    npm.install(tmp_path / "packages", "run 2")

    assert npm.count() == 1
    assert npm.calls.read_text().endswith(f"--prefix {tmp_path}/packages ws@8 wscat@6\n")


def test_failure_is_found_out_once_per_run(tmp_path: Path) -> None:
    npm = Npm(tmp_path, "echo no network >&2; exit 1")

    for run in ("run 1", "run 1", "run 2"):
        with pytest.raises(NpmError, match=r"^npm could not install ws@8 wscat@6: no network$"):
            npm.install(tmp_path / "packages", run)

    assert npm.count() == 2


def test_success_after_a_failure_counts(tmp_path: Path) -> None:
    with pytest.raises(NpmError, match="it ended with status 3"):
        Npm(tmp_path, "exit 3").install(tmp_path / "packages", "run 1")

    npm = Npm(tmp_path, "exit 0")
    npm.install(tmp_path / "packages", "run 2")
    npm.install(tmp_path / "packages", "run 2")

    assert npm.count() == 2


def test_hanging_npm_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """The child holds the standard error open, as those of npm do."""
    npm = Npm(tmp_path, "sleep 1000 & wait")

    with pytest.raises(NpmError, match=r"no end within 0\.2 s"):
        npm.install(tmp_path / "packages", seconds=0.2)
