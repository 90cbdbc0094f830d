"""Files with the output of processes, bounded in size from outside.

A process writes straight into its file, opened for appending, so that its output survives whoever started it. That one
bounds the file: it copies it aside and truncates it; the next write of the process then starts at 0.
"""

from __future__ import annotations

import os
from pathlib import Path

FILE_BYTES_MAX = 10 * 1024 * 1024
"""Size at which a file is put aside. It may be exceeded by what is written between two looks."""

COPIES = 3
"""Older parts that are kept per file."""


def open_log(path: Path) -> int:
    """Returns a descriptor for the output of a new process."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate(path: Path, bytes_max: int = FILE_BYTES_MAX) -> bool:
    """Puts the file aside when it is too big. Returns whether it did. What is written meanwhile may be lost.

    A copy holds at most the last `2 * bytes_max` of it.

    Raises:
        OSError: the disk is full, or the folder is not ours.
    """
    try:
        size = path.stat().st_size
        if size <= bytes_max:
            return False
        for number in range(COPIES - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        with path.open("rb") as source, path.with_name(f"{path.name}.1").open("wb") as copy:
            # Of a file that has grown far beyond the size, the end: the copies must not fill the disk either.
            source.seek(max(0, size - 2 * bytes_max))
            copy.write(source.read(2 * bytes_max))
        os.truncate(path, 0)
    except FileNotFoundError:
        return False
    return True
