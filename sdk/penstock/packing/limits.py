"""Bounds on a packed Truss directory, and what is wrong when one does not hold."""

from __future__ import annotations

ENTRIES_MAX = 100_000
"""Files, links and empty folders in one directory."""

CONTENT_BYTES_MAX = 20 * 1024**3
"""Size of all files together."""

PACKED_BYTES_MAX = 10 * 1024**3
"""Size of the archive."""

PATH_BYTES_MAX = 2048
NAMES_MAX = 64
"""Folders that may lie in one another."""

NAME_BYTES_MAX = 255
"""What file systems allow for one name."""

CHUNK_BYTES = 1024 * 1024
"""How much of a file is in memory at once."""


class PackError(Exception):
    """A directory cannot be packed; the text says what is wrong and what to do."""


class UnpackError(Exception):
    """An archive is not what it claims to be, or exceeds a bound; nothing of it is kept."""


def path_problem(path: str) -> str:
    """Says why `path` may not name an entry; empty when it may."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if "\0" in path:
        return "holds a zero byte"
    if len(encoded) > PATH_BYTES_MAX:
        return f"is longer than {PATH_BYTES_MAX} bytes"
    names = path.split("/")
    if len(names) > NAMES_MAX:
        return f"has more than {NAMES_MAX} folders in one another"
    if any(name in ("", ".", "..") for name in names):
        return "leads out of the directory, or is not in its simplest form"
    if any(len(name.encode()) > NAME_BYTES_MAX for name in names):
        return f"has a name of more than {NAME_BYTES_MAX} bytes"
    return ""
