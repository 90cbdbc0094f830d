"""Waits for a save that may mend a model that cannot be loaded, from the moment at which its files were read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from penstock.cli.up.tree_watch import LOOK_S
from penstock.cli.up.watched_change import Settling, named
from penstock.cli.up.watched_tree import Scan, WatchedTree

EDITED_STARTS_MAX = 3
"""Starts in a row because of edits during the start before: a model may edit its own files whenever it loads."""


class StartWatch:
    """What is saved in some Truss directories while they are started, and after that did not succeed.

    Args:
        directories: Absolute.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = tuple(directories)
        self._begun: dict[Path, Scan] = {}
        self._edited_starts = 0

    async def begin(self) -> None:
        """Notes how the directories are. Call it before a start reads them."""
        for directory in self._directories:
            self._begun[directory] = await asyncio.to_thread(_tree(directory).scan)

    def begun(self, directory: Path) -> Scan:
        """Returns the directory as it was at the last start; empty before the first."""
        return self._begun.get(directory, Scan())

    async def wait(self) -> str:
        """Returns the names of what was saved: edited since the start began, or saved in any way from now on."""
        trees = {directory: _tree(directory) for directory in self._directories}
        scans = {directory: await asyncio.to_thread(tree.scan) for directory, tree in trees.items()}
        seen = {directory: scan.before_edits_since(self.begun(directory)) for directory, scan in scans.items()}
        is_edited = seen != scans
        if is_edited and self._edited_starts >= EDITED_STARTS_MAX:
            seen, is_edited = scans, False
        self._edited_starts = self._edited_starts + 1 if is_edited else 0
        settling = Settling()
        while True:
            for directory, tree in trees.items():
                scan = await asyncio.to_thread(tree.scan)
                settling.add([f"{directory.name}/{path}" for path in seen[directory].changes(scan)], time.monotonic())
                seen[directory] = scan
            if paths := settling.take(time.monotonic()):
                return named(paths)
            await asyncio.sleep(LOOK_S)


def _tree(directory: Path) -> WatchedTree:
    return WatchedTree(directory, skipped=["data"])
