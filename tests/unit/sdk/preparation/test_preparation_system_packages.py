from __future__ import annotations

from pathlib import Path

import pytest

from penstock.preparation.system_packages import missing_packages


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def add(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


DPKG = """
for last; do :; done
case "$last" in --showformat*) echo 'ii \tvirtual-one (= 1), virtual-two'; exit 0;; esac
for name; do
  case "$name" in
    curl) echo 'ii \tcurl\t';;
    removed) echo 'rc \tremoved\t';;
    libc6) echo 'ii \tlibc6\t';;
  esac
done
exit 1
"""


def missing(programs: Path, *names: str) -> tuple[str, ...]:
    return missing_packages(names, {"PATH": str(programs)})


def test_installed_packages_are_no_matter(programs: Path) -> None:
    add(programs, "dpkg-query", DPKG)

    assert missing(programs) == ()
    assert missing(programs, "curl") == ()
    assert missing(programs, "curl=8.0 libc6:amd64", "virtual-two") == ()


def test_missing_ones_are_told_with_the_command_that_installs_them(programs: Path) -> None:
    add(programs, "dpkg-query", DPKG)
    add(programs, "apt-get", "")

    (text,) = missing(programs, "curl", "ffmpeg=7:5.1", "removed")

    assert "missing on this machine: ffmpeg=7:5.1, removed;" in text
    assert text.endswith("sudo apt-get install ffmpeg=7:5.1 removed")


def test_rpm_is_asked_where_there_is_no_dpkg(programs: Path) -> None:
    add(programs, "rpm", 'case "$5" in curl) echo curl-minimal;; *) echo no package provides "$5"; exit 1;; esac')
    add(programs, "dnf", "")

    (text,) = missing(programs, "curl", "ffmpeg")

    assert text.endswith("sudo dnf install ffmpeg")


def test_what_cannot_be_checked_is_told(programs: Path) -> None:
    (text,) = missing(programs, "curl")

    assert "not checked" in text and "curl" in text
