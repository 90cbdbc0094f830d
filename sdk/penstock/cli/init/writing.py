"""Writes the files of something new, and overwrites none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from penstock.cli import exit_status
from penstock.cli.command_error import CommandError


def write_new_files(directory: Path, files: Mapping[str, str]) -> None:
    """Writes files by their paths relative to `directory`, which is made.

    Raises:
        CommandError: One is there already, or cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise CommandError(f"{directory} is not a folder", exit_status.USAGE)
    there = [path for path in files if (directory / path).exists() or (directory / path).is_symlink()]
    if there:
        raise CommandError(
            f"{directory} holds {', '.join(there)} already, and nothing is overwritten; choose another folder",
            exit_status.USAGE,
        )
    try:
        for path, content in files.items():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            # "x": what another program has made in this moment is not overwritten either.
            with target.open("x", encoding="utf-8") as file:
                file.write(content)
    except OSError as exc:
        raise CommandError(f"cannot write {exc.filename or directory}: {exc.strerror}") from None
