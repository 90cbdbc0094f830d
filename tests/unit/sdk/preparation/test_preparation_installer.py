from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.preparation.build_settings import BuildSettings
from penstock.preparation.errors import PreparationError
from penstock.preparation.installer import (
    Installer,
    choose_installer,
    install,
    install_command,
    install_environ,
    shown_line,
)
from penstock.preparation.platform_python import this_python
from penstock.preparation.requirement_line import RequirementLine
from penstock.preparation.requirements import Requirements

REQUIREMENTS = Requirements(
    lines=(
        RequirementLine("six", "six", name="six"),
        RequirementLine("./a.whl", "/m/a.whl", path="/m/a.whl", name="a"),
    ),
    constraints=("idna==3",),
)


def fake_uv(folder: Path, script: str = "") -> dict[str, str]:
    """Puts a program `uv` on PATH that notes its arguments and runs `script`."""
    folder.mkdir(exist_ok=True)
    (folder / "uv").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/argv\nenv > {folder}/env\n{script}\n')
    (folder / "uv").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def run(tmp_path: Path, environ: dict[str, str], settings: BuildSettings) -> list[str]:
    reported: list[str] = []
    install(
        REQUIREMENTS,
        ["grpcio>=1"],
        installer=choose_installer(settings, this_python(), environ),
        python=tmp_path / "bin" / "python",
        work_dir=tmp_path,
        model_dir=tmp_path,
        settings=settings,
        environ=environ,
        report=reported.append,
    )
    return reported


def test_uv_is_taken_when_it_is_on_path_else_pip(tmp_path: Path) -> None:
    platform = this_python()
    with_uv = fake_uv(tmp_path / "uv")

    assert choose_installer(BuildSettings(), platform, with_uv).kind == "uv"
    assert choose_installer(BuildSettings(installer="pip"), platform, with_uv).kind == "pip"
    assert choose_installer(BuildSettings(), platform, {"PATH": "/nowhere"}).kind == "pip"
    assert choose_installer(BuildSettings(), replace(platform, has_pip=False), {"PATH": "/nowhere"}).needs_seed


def test_uv_that_is_demanded_and_missing_is_an_error() -> None:
    with pytest.raises(PreparationError, match="not on PATH"):
        choose_installer(BuildSettings(installer="uv"), this_python(), {"PATH": "/nowhere"})


def test_uv_gets_the_environment_the_files_and_the_further_arguments(tmp_path: Path) -> None:
    environ = {**fake_uv(tmp_path / "uv", "echo Installed 2 packages"), "UV_CACHE_DIR": "/c", "VIRTUAL_ENV": "/other"}

    reported = run(tmp_path, environ, BuildSettings(install_args=("--no-index",)))

    assert (tmp_path / "uv" / "argv").read_text().split("\n") == [
        *("pip", "install", "--python", f"{tmp_path}/bin/python"),
        *("-r", f"{tmp_path}/requirements.txt", "-c", f"{tmp_path}/constraints.txt", "--no-index", ""),
    ]
    assert (tmp_path / "requirements.txt").read_text() == "six\n/m/a.whl\ngrpcio>=1\n"
    assert (tmp_path / "constraints.txt").read_text() == "idna==3\n"
    seen = (tmp_path / "uv" / "env").read_text().split("\n")
    assert "UV_CACHE_DIR=/c" in seen and "UV_INDEX_STRATEGY=unsafe-best-match" in seen
    assert not any(line.startswith("VIRTUAL_ENV") for line in seen)
    assert reported == ["  Installed 2 packages"]


def test_what_the_user_has_set_for_uv_holds() -> None:
    env = install_environ(Installer("uv", ("uv",)), {"UV_INDEX_STRATEGY": "first-index"})

    assert env["UV_INDEX_STRATEGY"] == "first-index"


def test_pip_of_the_platform_installs_into_the_environment() -> None:
    installer = choose_installer(BuildSettings(installer="pip"), this_python(), os.environ)

    command = install_command(installer, Path("/env/bin/python"), ["-r", "/f"], BuildSettings(install_args=("--pre",)))

    assert command[:6] == [this_python().executable, "-P", "-m", "pip", "--python", "/env/bin/python"]
    assert command[6] == "install"
    assert command[-3:] == ["-r", "/f", "--pre"]


def test_without_pip_in_the_platform_the_environments_own_is_used() -> None:
    command = install_command(Installer("pip", (), needs_seed=True), Path("/env/bin/python"), [], BuildSettings())

    assert command[:5] == ["/env/bin/python", "-P", "-m", "pip", "install"]


def test_settings_of_pip_that_cannot_hold_in_an_environment_are_overruled() -> None:
    env = install_environ(Installer("pip", ("pip",)), {"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "PIP_PRE": "1"})

    assert env == {"PIP_USER": "0", "PIP_PRE": "1", "PYTHONUNBUFFERED": "1"}


def test_a_failure_names_the_line(tmp_path: Path) -> None:
    environ = fake_uv(tmp_path / "uv", "echo 'error: because six was not found'; exit 1")

    with pytest.raises(PreparationError, match=r"`six`: cannot be installed; uv ended with status 1\n.*not found"):
        run(tmp_path, environ, BuildSettings())


def test_an_installer_that_hangs_is_ended(tmp_path: Path) -> None:
    environ = fake_uv(tmp_path / "uv", "exec sleep 100")

    with pytest.raises(PreparationError, match="took too long"):
        run(tmp_path, environ, BuildSettings(timeout_s=0.3))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  Collecting six (from -r /c/requirements.txt (line 1))", "  Collecting six"),
        ("  Collecting idna (from requests->-r /c/requirements.txt (line 1))", "  Collecting idna"),
        ("  WARNING: Location 'file:///a' is ignored: it is neither a file nor a directory.", ""),
        ("  Looking in indexes: https://me:secret@host/simple", "  Looking in indexes: https://host/simple"),
    ],
)
def test_lines_of_the_installer_are_made_short(line: str, shown: str) -> None:
    assert shown_line(line) == shown
