"""Output of replicas: one file each, bounded in size and number.

A replica writes straight into its file, opened for appending, so that its output survives the controller. The
controller bounds it from outside: it copies the file aside and truncates it; the next write of the replica then starts
at 0.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

FILE_BYTES_MAX = 10 * 1024 * 1024
"""Size at which a file is put aside. It may be exceeded by what is written between two looks."""

COPIES = 3
"""Older parts that are kept per replica."""

ENDED_REPLICAS_KEPT = 20
"""Logs of ended replicas that are kept per deployment, newest first: enough to see a row of crashes."""

TAIL_BYTES = 4096
TAIL_LINES = 20
"""How much of the end of a log goes into a message."""


def log_file(log_dir: Path, replica_id: str) -> Path:
    return log_dir / f"{replica_id}.log"


def open_log(path: Path) -> int:
    """Returns a descriptor for the output of a new process."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate(path: Path, bytes_max: int = FILE_BYTES_MAX) -> bool:
    """Puts the file aside when it is too big. Returns whether it did. What is written meanwhile may be lost."""
    try:
        if path.stat().st_size <= bytes_max:
            return False
        for number in range(COPIES - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return False
    return True


def prune(log_dir: Path, deployment_id: str, alive: Collection[str], keep: int = ENDED_REPLICAS_KEPT) -> None:
    """Deletes the oldest logs of ended replicas of a deployment."""
    ended = [
        path
        for path in log_dir.glob(f"{deployment_id}-*.log")
        if path.name.removesuffix(".log") not in alive and len(path.stem) == len(deployment_id) + 6
    ]
    ended.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in ended[keep:]:
        for part in log_dir.glob(f"{path.name}*"):
            part.unlink(missing_ok=True)


def tail(path: Path) -> str:
    """Returns the last lines of the file; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])
