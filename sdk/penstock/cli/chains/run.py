"""Carries out `penstock chains run`."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from penstock.chains import alias
from penstock.cli import exit_status
from penstock.cli.command_error import CommandError

CHAINLETS, RUN_LOCAL = "penstock.chains.chainlet", "penstock.chains.local"
"""Modules with the base class of chainlets, and with `run_local`."""


def run(words: Sequence[str]) -> int:
    """Runs a file as `python FILE ARGS` does, with `truss_chains` there. What it raises goes on, SystemExit included.

    Raises:
        CommandError: There is no such file.
    """
    given = list(words[1:]) if words[:1] == ["--"] else list(words)
    if not given:
        raise CommandError("give a file to run", exit_status.USAGE)
    file = Path(given[0])
    if not file.is_file():
        raise CommandError(f"there is no file {file}", exit_status.USAGE)
    path = file.resolve()
    alias.install()
    # The folder of the program that runs stands first; here it is that of the file.
    sys.path.insert(0, str(path.parent))
    sys.argv[:] = [str(file), *given[1:]]
    runpy.run_path(str(path), run_name="__main__")
    # Both are imported when they are first used.
    if CHAINLETS in sys.modules and RUN_LOCAL not in sys.modules:
        print(f"{file} was run, and made no chainlet: it has no `with chains.run_local():`", file=sys.stderr)
    return exit_status.OK
