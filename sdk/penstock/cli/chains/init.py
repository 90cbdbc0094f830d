"""Carries out `penstock chains init`."""

from __future__ import annotations

import shlex
from pathlib import Path

from penstock.cli.init.writing import write_new_files
from penstock.scaffold import chain_files


def init(directory: Path) -> str:
    """Writes the files of a new chain, and returns what people may do next.

    Raises:
        CommandError: A file is there already, or cannot be written.
    """
    files = chain_files()
    write_new_files(directory, files)
    where = shlex.quote(str(directory / next(iter(files))))
    listed = "\n".join(f"  {directory / path}" for path in files if path.endswith(".py"))
    return (
        f"Made the chain hello:\n{listed}\n\n"
        f"Run it in one process:\n  penstock chains run {where}\n"
        f"Serve it, and see what you save at once:\n  penstock up --watch {where}\n"
        "Call it, in another terminal:\n  penstock call hello '{\"max_value\": 3}'"
    )
