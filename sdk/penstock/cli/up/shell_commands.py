"""How our programs are called from the shell and folder in which `penstock up` was started."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from penstock.cli.up.report import ShellCommands


def find_commands(executable: Path, cwd: Path, search_path: str) -> ShellCommands:
    """Looks at what is installed.

    Args:
        executable: The interpreter that runs us, absolute; our scripts lie beside it.
        cwd: The user's folder, absolute.
        search_path: The user's $PATH.
    """
    plain = executable.with_name("python")
    if _is_same(plain, executable):
        executable = plain
    python = _spell(executable, "python", cwd, search_path)
    script = executable.with_name("controller")
    return ShellCommands(
        python=python,
        controller=_spell(script, "controller", cwd, search_path)
        if os.access(script, os.X_OK)
        else f"{python} -P -m penstock_controller",
        has_websocat=shutil.which("websocat", path=search_path) is not None,
    )


def _spell(program: Path, name: str, cwd: Path, search_path: str) -> str:
    """Returns `name` where the shell finds the program by it; otherwise its path, relative when it is below `cwd`."""
    found = shutil.which(name, path=search_path)
    if found is not None and _is_same(Path(found), program):
        return name
    if not program.is_relative_to(cwd):
        return shlex.quote(str(program))
    below = str(program.relative_to(cwd))
    return shlex.quote(below if "/" in below else f"./{below}")


def _is_same(one: Path, other: Path) -> bool:
    # The folder counts: in a virtual environment the interpreter is a link to one that does not have our libraries.
    return one.parent.resolve() == other.parent.resolve() and one.resolve() == other.resolve()
