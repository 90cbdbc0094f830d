"""A chain as people name it on a command line. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A chain's source."""

    file: Path
    """Absolute."""
    entrypoint: str | None = None
    """Class name; None takes what the file marks."""
    name: str | None = None
    """Of the chain; None takes what the file says."""

    @property
    def folder_name(self) -> str:
        """A name for what is made of it: the same for the same source, and of no other."""
        stem = re.sub(r"[^A-Za-z0-9_]+", "-", self.file.stem)[:40]
        digest = hashlib.sha256(f"{self.file}\0{self.entrypoint or ''}".encode()).hexdigest()
        return f"{stem}-{digest[:8]}"


def split_chain_path(text: str) -> tuple[str, str | None] | None:
    """Splits FILE.py or FILE.py:ENTRYPOINT; None when it is neither."""
    found = re.fullmatch(r"(.+\.py)(?::([A-Za-z_]\w*))?", text)
    return (found[1], found[2]) if found else None
