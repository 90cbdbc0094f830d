"""Runs `build_commands`: in the model's environment, in the model's folder.

A Truss image runs them where the model will run, and what they write there (a cloned repository, a compiled library) is
looked for there by the model. So they run in the folder that holds config.yaml, and what they write stays there. A file
in that folder says for which build they have run: a folder that was made anew gets them again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from penstock.preparation.build_process import Report, build_environ, run_program
from penstock.preparation.errors import PreparationError

MARK_NAME = ".penstock_build"
LINES_SHOWN = 20
"""Last lines of a failed command in the error."""


def have_run(model_dir: Path, token: str) -> bool:
    """Whether the commands of the build `token` have written into this folder."""
    try:
        return (model_dir / MARK_NAME).read_text("utf-8").strip() == token
    except (OSError, ValueError):
        return False


def run_build_commands(
    commands: Sequence[str],
    *,
    folder: Path,
    model_dir: Path,
    token: str,
    environ: Mapping[str, str],
    timeout_s: float,
    report: Report,
) -> None:
    """Runs the commands one after another, each in a shell of its own.

    Args:
        folder: The virtual environment: its programs go before all others.
        timeout_s: For each command.

    Raises:
        PreparationError: One fails, or the model's folder cannot be written.
    """
    if not os.access(model_dir, os.W_OK):
        raise PreparationError(f"config.yaml: build_commands: run in {model_dir}, which cannot be written")
    env = build_environ(environ)
    env["VIRTUAL_ENV"] = str(folder)
    env["PATH"] = f"{folder / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    for number, command in enumerate(commands, 1):
        report(f"build command {number} of {len(commands)}: {command}")
        done = run_program(["/bin/sh", "-c", command], cwd=model_dir, env=env, timeout_s=timeout_s, report=report)
        if done.status != 0 or done.timed_out:
            head = f"config.yaml: build_commands: number {number} {done.how}: {command}"
            raise PreparationError("\n".join([head, *(f"  {line}" for line in done.tail[-LINES_SHOWN:])]))
    (model_dir / MARK_NAME).write_text(f"{token}\n", encoding="utf-8")
