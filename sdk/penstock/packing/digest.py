"""The hash that names packed content: the same wherever and with whatever it was packed. Pure but for the hash object.

It covers kind, path, executable bit and content of each entry, in the order of their paths, and nothing else: no
times, no owners, no compression.
"""

from __future__ import annotations

import hashlib
from enum import Enum


class Kind(Enum):
    """What an entry is; the value goes into the hash."""

    FILE = b"F"
    EXECUTABLE = b"X"
    FOLDER = b"D"
    """An empty one: the others follow from what is in them."""
    LINK = b"L"
    """Its content is where it leads to."""


class ContentDigest:
    """Takes entries one after the other."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"penstock-content-1\n")

    def begin(self, kind: Kind, path: str, size: int) -> None:
        """Begins an entry whose content has `size` bytes. They follow through `add`."""
        name = path.encode()
        # Lengths go in front, so that no two trees can give the same bytes.
        self._hash.update(kind.value + len(name).to_bytes(4, "big") + name + size.to_bytes(8, "big"))

    def add(self, content: bytes) -> None:
        self._hash.update(content)

    def entry(self, kind: Kind, path: str, content: bytes) -> None:
        """Takes a whole entry."""
        self.begin(kind, path, len(content))
        self.add(content)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def sort_key(path: str) -> bytes:
    """Returns by what entries are sorted: bytes, so that no locale matters."""
    return path.encode()
