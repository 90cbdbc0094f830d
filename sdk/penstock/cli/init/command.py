"""Carries out `penstock init`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from penstock.cli import exit_status
from penstock.cli.command_error import CommandError
from penstock.cli.init.writing import write_new_files
from penstock.scaffold import Kind, project_files

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What the controller takes as the name of a model."""


def init(directory: Path, name: str | None, kind: Kind) -> str:
    """Writes the files of a new model, and returns what people may do next.

    Raises:
        CommandError: The name cannot be used, a file is there already, or cannot be written.
    """
    name = _name(directory, name)
    files = project_files(name, kind)
    write_new_files(directory, files)
    where = shlex.quote(str(directory))
    call = f"penstock call {name}" + (" hello" if kind is Kind.WEBSOCKET else """ '{"text": "hello"}'""")
    listed = "\n".join(f"  {directory / path}" for path in files if path in ("config.yaml", "model/model.py"))
    return (
        f"Made the model {name}:\n{listed}\n\n"
        f"Serve it, and see what you save at once:\n  penstock up --watch {where}\n"
        f"Call it, in another terminal:\n  {call}"
    )


def _name(directory: Path, name: str | None) -> str:
    if name is None:
        folder = directory.resolve().name
        name = re.sub(r"[^a-z0-9_-]+", "-", folder.lower()).strip("-_")[:63].rstrip("-_")
    if not _NAME.fullmatch(name):
        raise CommandError(
            f"--name: must be 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit, got {name!r}",
            exit_status.USAGE,
        )
    return name
