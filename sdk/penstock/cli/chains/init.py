"""Carries out `penstock chains init`."""

from __future__ import annotations

import shlex
from pathlib import Path

from penstock.chains.chain_names import CHAIN_NAME_MAX, chain_slug
from penstock.chains.errors import ChainsUsageError
from penstock.cli import exit_status
from penstock.cli.command_error import CommandError
from penstock.cli.init.writing import write_new_files
from penstock.scaffold import chain_files


def init(directory: Path, name: str | None) -> str:
    """Writes the files of a new chain, and returns what people may do next.

    Raises:
        CommandError: The name cannot be used, a file is there already, or cannot be written.
    """
    try:
        name = chain_slug(directory.resolve().name if name is None else name)
    except ChainsUsageError:
        given = "the folder's name" if name is None else "--name"
        raise CommandError(
            f"{given} must give 1 to {CHAIN_NAME_MAX} of a-z, 0-9, '-' and '_'; name the chain with --name",
            exit_status.USAGE,
        ) from None
    files = chain_files(name)
    write_new_files(directory, files)
    where = shlex.quote(str(directory / next(iter(files))))
    listed = "\n".join(f"  {directory / path}" for path in files if path.endswith(".py"))
    return (
        f"Made the chain {name}:\n{listed}\n\n"
        f"Run it in one process:\n  penstock chains run {where}\n"
        f"Serve it, and see what you save at once:\n  penstock up --watch {where}\n"
        f"Call it, in another terminal:\n  penstock call {name} " + """'{"max_value": 3}'"""
    )
