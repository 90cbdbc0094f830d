"""Output of replicas: one file each, of which those of the last ended replicas stay."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

ENDED_REPLICAS_KEPT = 20
"""Logs of ended replicas that are kept per deployment, newest first: enough to see a row of crashes."""

TAIL_BYTES = 4096
TAIL_LINES = 20
"""How much of the end of a log goes into a message."""


def log_file(log_dir: Path, replica_id: str) -> Path:
    return log_dir / f"{replica_id}.log"


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
