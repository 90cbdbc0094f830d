"""Which artifacts make room for others: those that no deployment uses, the one that was not used for longest first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

ARTIFACTS_BYTES_MAX = 50 * 1024**3
"""Size of all artifacts when unpacked."""

UNUSED_KEPT = 20
"""Artifacts that no deployment uses, but that may be pushed again without an upload."""


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """One artifact on disk."""

    size_bytes: int
    """Of its content."""
    used_wall: float
    """When it was uploaded or asked for last, in seconds since the epoch."""


def to_remove(
    stored: Mapping[str, StoredArtifact],
    in_use: Collection[str],
    *,
    needed_bytes: int = 0,
    bytes_max: int = ARTIFACTS_BYTES_MAX,
    unused_kept: int = UNUSED_KEPT,
) -> list[str] | None:
    """Returns what has to go so that `needed_bytes` more fit and few unused ones stay; None when they cannot fit."""
    unused = sorted((a for a in stored if a not in in_use), key=lambda a: (stored[a].used_wall, a))
    total = sum(artifact.size_bytes for artifact in stored.values())
    removed: list[str] = []
    while unused and (len(unused) > unused_kept or total + needed_bytes > bytes_max):
        artifact = unused.pop(0)
        removed.append(artifact)
        total -= stored[artifact].size_bytes
    return removed if total + needed_bytes <= bytes_max else None
