"""What a fetch has put in place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Way = Literal["fetched", "cached", "local", "present"]


@dataclass(frozen=True, slots=True)
class Placed:
    """Files that are where the model looks for them."""

    key: str
    """Of config.yaml, for example "weights[0]"."""
    source: str
    """For people, without secrets."""
    path: Path
    """The file or folder."""
    files: int
    size: int
    """Bytes of all files."""
    way: Way
    """Fetched now; in the cache; a local source; or there before, made by someone else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """Files of a source that are on this machine, to be put in place."""

    folder: Path
    """Holds the files."""
    names: tuple[str, ...]
    """Of the files below `folder`; empty when only the folder as a whole is placed."""
    is_folder: bool
    """Otherwise one file, which `names` has."""
    files: int
    size: int
    """Bytes of all files."""
    way: Way
    revision: str = ""
    """Empty for local files."""
