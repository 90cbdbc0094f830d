"""Files that were saved together, and how they are told of."""

from __future__ import annotations

import time

from penstock.cli.up.watched_change import named
from penstock.cli.up.watched_tree import Scan

RECENT_S = 5.0
"""Time within which a saved file is noticed, also on a busy machine."""


class Save:
    """Files that were saved together."""

    def __init__(self, paths: frozenset[str], scan: Scan) -> None:
        self.names = named(paths)
        now = time.time()
        ages = [now - scan.files[path].changed_ns / 1e9 for path in paths if path in scan.files]
        # A file that was moved here was saved long ago.
        recent = [age for age in ages if 0 <= age <= RECENT_S]
        self._saved_at = now - max(recent, default=0.0)

    @property
    def age_s(self) -> float:
        return max(0.0, time.time() - self._saved_at)


def indented(text: str) -> str:
    """Puts two spaces before each line."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def first_line(text: str) -> str:
    """Returns the first line, without its full stop."""
    return text.partition("\n")[0].rstrip(".")
