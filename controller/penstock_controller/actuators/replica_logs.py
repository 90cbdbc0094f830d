"""Output of replicas: one file each with its older parts, of which those of the last ended replicas stay."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

ENDED_REPLICAS_KEPT = 20
"""Logs of ended replicas that are kept per deployment, newest first: enough to see a row of crashes."""

DEPLOYMENT_BYTES_MAX = 200 * 1024 * 1024
"""Size of the logs of ended replicas that are kept per deployment. The newest one is kept whatever its size."""

ALL_BYTES_MAX = 1024 * 1024 * 1024
"""Size of the logs of all ended replicas that are kept."""

FRESH_S = 5.0
"""A log that was written within this time is of a replica that lives, or may."""

TAIL_BYTES = 4096
TAIL_LINES = 20
"""How much of the end of a log goes into a message."""

_NAME = re.compile(r"(?P<replica>(?P<deployment>.+)-[a-z2-7]{5})\.log(\.\d+)?")
"""The log of a replica; the folder holds those of controller and edge, too."""


@dataclass(slots=True)
class _Log:
    deployment_id: str
    parts: list[Path] = field(default_factory=list)
    size: int = 0
    written_at: float = 0.0


def log_file(log_dir: Path, replica_id: str) -> Path:
    return log_dir / f"{replica_id}.log"


def prune(
    log_dir: Path,
    alive: Collection[str],
    now: float,
    *,
    keep: int = ENDED_REPLICAS_KEPT,
    deployment_bytes_max: int = DEPLOYMENT_BYTES_MAX,
    bytes_max: int = ALL_BYTES_MAX,
) -> None:
    """Deletes the oldest logs of ended replicas, those of deployments that are gone included, and empty ones.

    An empty one is of a replica that was never started, or had nothing to say.

    Args:
        now: when `alive` was true, in seconds since the epoch. What was written since may be of a replica that has
            started since, and stays.
    """
    ended = [
        log for replica_id, log in _logs(log_dir).items() if replica_id not in alive and log.written_at < now - FRESH_S
    ]
    ended.sort(key=lambda log: log.written_at, reverse=True)
    kept: dict[str, int] = defaultdict(int)
    kept_bytes: dict[str, int] = defaultdict(int)
    total = 0
    for log in ended:
        total += log.size
        kept[log.deployment_id] += 1
        kept_bytes[log.deployment_id] += log.size
        is_newest = kept[log.deployment_id] == 1
        fits = kept[log.deployment_id] <= keep and kept_bytes[log.deployment_id] <= deployment_bytes_max
        if log.size == 0 or total > bytes_max or not (is_newest or fits):
            for part in log.parts:
                part.unlink(missing_ok=True)


def written_at(log_dir: Path) -> dict[str, float]:
    """Returns the replicas that have a log, with the time of its last write in seconds since the epoch."""
    try:
        return {replica_id: log.written_at for replica_id, log in _logs(log_dir).items()}
    except FileNotFoundError:
        return {}


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


def _logs(log_dir: Path) -> dict[str, _Log]:
    """Returns the logs in the folder by replica."""
    logs: dict[str, _Log] = {}
    with os.scandir(log_dir) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name)
            if name is None:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            log = logs.setdefault(name["replica"], _Log(name["deployment"]))
            log.parts.append(Path(entry.path))
            log.size += found.st_size
            log.written_at = max(log.written_at, found.st_mtime)
    return logs
