"""Files at a distance: what a source holds, and how a part of a file is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file that is being read."""

    read: Callable[[int], bytes]
    """Returns 1 to N bytes; b"" at the end. Raises TransferError or OSError."""
    close: Callable[[], None]
    offset: int
    """Where the bytes begin: as asked for, or 0 when the origin starts afresh."""
    total: int | None
    """Bytes of the whole file; None when the origin does not say."""
    validator: str
    """Changes when the content changes; empty when the origin has none that a part may be joined by."""
    sha256: str | None = None
    """Of the whole file, in hexadecimal; None when the origin does not say."""


class Origin(Protocol):
    """Reads one file at a distance."""

    def open(self, offset: int, validator: str) -> Opened:
        """Begins to read at `offset`, if the content is still that of `validator`, else at 0.

        Raises:
            TransferError: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a source."""

    name: str
    """Relative path with "/", already checked to be safe."""
    size: int | None
    """Bytes; None when unknown before it is read."""
    sha256: str | None
    """In hexadecimal; None when unknown."""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a source holds at one revision."""

    revision: str
    """Changes whenever the content does."""
    files: tuple[RemoteFile, ...]
    is_folder: bool
    """A folder, even with one file; otherwise exactly one file."""

    @property
    def bytes_total(self) -> int | None:
        """Bytes of all files; None when one is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)
