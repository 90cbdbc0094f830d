"""What one entry of the weights cache holds, and which of several entries goes first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

VERSION = 1


@dataclass(frozen=True, slots=True)
class CachedFile:
    """One file of an entry."""

    name: str
    """Relative path with "/"."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of an entry, written after its last file."""

    source: str
    """As a person reads it, without secrets."""
    source_key: str
    """Same for all revisions of one source with the same patterns."""
    revision: str
    is_folder: bool
    files: tuple[CachedFile, ...]
    fetched_at: float
    """Seconds since 1970."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_json(self) -> str:
        """Returns the text of the manifest's file."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n"


def read_manifest(text: str) -> Manifest:
    """Reads what to_json wrote; raises ValueError for anything else."""
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r} is unknown")
        return Manifest(
            source=str(content["source"]),
            source_key=str(content["source_key"]),
            revision=str(content["revision"]),
            is_folder=bool(content["is_folder"]),
            files=tuple(CachedFile(str(f["name"]), int(f["size"]), str(f["sha256"])) for f in content["files"]),
            fetched_at=float(content["fetched_at"]),
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"not a manifest: {exc!r}") from None


@dataclass(frozen=True, slots=True)
class Occupant:
    """Something in the cache that takes room."""

    key: str
    what: str
    """For people."""
    size: int
    """Bytes."""
    used_at: float
    """Seconds since 1970."""
    is_partial: bool
    """Not complete; goes before all that is."""
    is_needed: bool
    """A deployment uses it, or another process works on it: it is never removed."""


def choose_evictions(occupants: Iterable[Occupant], *, excess: int) -> list[Occupant] | None:
    """Returns what to remove so that `excess` bytes become free, least recently used first; None when it cannot be.

    Nothing is returned that is needed. An excess of 0 or less needs no removal.
    """
    removable = [occupant for occupant in occupants if not occupant.is_needed]
    removable.sort(key=lambda occupant: (not occupant.is_partial, occupant.used_at, occupant.key))
    chosen = []
    for occupant in removable:
        if excess <= 0:
            break
        chosen.append(occupant)
        excess -= occupant.size
    return chosen if excess <= 0 else None


def content_key(*parts: object) -> str:
    """Returns a name for a folder: the same parts give the same, other parts another."""
    text = json.dumps([str(part) for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
