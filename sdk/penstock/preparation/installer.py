"""Installs requirements into a virtual environment: with uv where it is on PATH, else with pip."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from penstock.preparation.build_process import Report, build_environ, run_program
from penstock.preparation.build_settings import INSTALLER_VARIABLE, BuildSettings
from penstock.preparation.errors import PreparationError
from penstock.preparation.install_failure import explain_failure
from penstock.preparation.platform_python import PlatformPython
from penstock.preparation.requirement_line import redact
from penstock.preparation.requirements import Requirements

REQUIREMENTS_NAME = "requirements.txt"
CONSTRAINTS_NAME = "constraints.txt"


@dataclass(frozen=True, slots=True)
class Installer:
    """A program that installs."""

    kind: Literal["uv", "pip"]
    program: tuple[str, ...]
    """The beginning of its command line."""
    needs_seed: bool = False
    """pip has to be put into the environment first, as the platform has none."""


def choose_installer(settings: BuildSettings, platform: PlatformPython, environ: Mapping[str, str]) -> Installer:
    """Returns the installer of this machine.

    Raises:
        PreparationError: uv is wanted and is not on PATH.
    """
    if settings.installer != "pip":
        if uv := shutil.which("uv", path=environ.get("PATH")):
            return Installer("uv", (uv,))
        if settings.installer == "uv":
            raise PreparationError(f"{INSTALLER_VARIABLE} is uv, but uv is not on PATH; install it, or set it to auto")
    if platform.has_pip:
        # -P: the working folder is the model's, and must not be where pip looks for its own modules.
        return Installer("pip", (platform.executable, "-P", "-m", "pip"))
    return Installer("pip", (), needs_seed=True)


def install_command(installer: Installer, python: Path, files: Sequence[str], settings: BuildSettings) -> list[str]:
    """Returns the command line that installs into the environment of `python`.

    Args:
        files: The options that name the files to read.
    """
    if installer.kind == "uv":
        return [*installer.program, "pip", "install", "--python", str(python), *files, *settings.install_args]
    if installer.needs_seed:
        program = [str(python), "-P", "-m", "pip"]
    else:
        program = [*installer.program, "--python", str(python)]
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    return [*program, "install", *options, *files, *settings.install_args]


def install_environ(installer: Installer, environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment in which the installer runs: the user's own settings for it hold."""
    env = build_environ(environ)
    if installer.kind == "uv":
        # The requirements were written for pip, which takes the best version of all indexes.
        env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
        env.setdefault("UV_NO_PROGRESS", "1")
    else:
        # A machine's default of `--user` would fail inside of an environment.
        env["PIP_USER"] = "0"
        env.pop("PIP_REQUIRE_VIRTUALENV", None)
    return env


def install(
    requirements: Requirements,
    needs: Sequence[str],
    *,
    installer: Installer,
    python: Path,
    work_dir: Path,
    model_dir: Path,
    settings: BuildSettings,
    environ: Mapping[str, str],
    report: Report,
    lock_fd: int | None = None,
) -> None:
    """Installs all requirements in one go, and `needs`, Penstock's own, with them.

    Args:
        work_dir: Where the files for the installer are written.
        model_dir: Where it runs: configuration of uv or pip beside the model is found, and nested paths.

    Raises:
        PreparationError: It fails; the message names the line.
    """
    file = work_dir / REQUIREMENTS_NAME
    lines = [line.resolved for line in requirements.lines]
    file.write_text("".join(f"{line}\n" for line in [*lines, *needs]), encoding="utf-8")
    options = ["-r", str(file)]
    if requirements.constraints:
        constraints = work_dir / CONSTRAINTS_NAME
        constraints.write_text("".join(f"{line}\n" for line in requirements.constraints), encoding="utf-8")
        options += ["-c", str(constraints)]
    env = install_environ(installer, environ)
    if installer.needs_seed:
        _seed(python, model_dir, env, settings, report, lock_fd)
    command = install_command(installer, python, options, settings)

    def show(line: str) -> None:
        if short := shown_line(line):
            report(short)

    done = run_program(command, cwd=model_dir, env=env, timeout_s=settings.timeout_s, report=show, lock_fd=lock_fd)
    if done.status != 0 or done.timed_out:
        raise PreparationError(
            explain_failure(
                requirements.lines,
                done.tail,
                origin=requirements.origin,
                file=str(file),
                how=done.how,
                installer=installer.kind,
            )
        )


def shown_line(line: str) -> str:
    """Returns a line of an installer as it is reported; empty for one that tells nothing."""
    if "is ignored: it is neither a file nor a directory" in line:
        return ""
    # Where a requirement came from: a file that the user has never seen.
    return redact(re.sub(r" \(from .*-r .*\)$", "", line))


def _seed(
    python: Path, cwd: Path, env: Mapping[str, str], settings: BuildSettings, report: Report, lock_fd: int | None
) -> None:
    command = [str(python), "-P", "-m", "ensurepip", "--default-pip"]
    done = run_program(command, cwd=cwd, env=env, timeout_s=settings.timeout_s, report=report, lock_fd=lock_fd)
    if done.status != 0 or done.timed_out:
        raise PreparationError(
            "requirements cannot be installed: there is neither uv nor pip on this machine, and Python cannot install "
            f"pip by itself (ensurepip {done.how}).\nInstall uv, or pip (on Debian and Ubuntu python3-venv)."
        )
