"""Looks at files again and again, and acts upon what was saved once it has settled."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod

from penstock.cli.up.admin import AdminError
from penstock.cli.up.watched_change import Settling, named
from penstock.cli.up.watched_tree import FILES_MAX, Scan, WatchedTree

LOOK_S = 0.1
"""Time between two looks at the files."""
SCAN_SHARE = 0.1
"""Of the time at most this share is spent on looking: a large directory is looked at less often."""


class TreeWatch(ABC):
    """A watch over one tree.

    Who derives from it sets `_tree`, and `_seen` to what has been taken over already.
    """

    _tree: WatchedTree
    _seen: Scan

    def __init__(self) -> None:
        self._settling = Settling()
        self._is_bound_told = False

    async def run(self) -> None:
        """Watches until it is cancelled."""
        while True:
            began = time.monotonic()
            scan = await asyncio.to_thread(self._tree.scan)
            took = time.monotonic() - began
            await self.look(scan, time.monotonic())
            await asyncio.sleep(max(LOOK_S, took / SCAN_SHARE))

    async def look(self, scan: Scan, now: float) -> None:
        """Acts upon what has changed since the last look, once it has settled."""
        self._settling.add(self._seen.changes(scan), now)
        self._seen = scan
        if not scan.is_complete and not self._is_bound_told:
            self._is_bound_told = True
            self._tell(f"only the first {FILES_MAX} files are watched; leave others out with .truss_ignore")
        paths = self._settling.take(now)
        try:
            if not paths or not await self._saved(paths, scan):
                await self._nothing_saved(now)
        except AdminError as exc:
            self._tell(f"{named(paths)} was not taken over: {exc}" if paths else str(exc))

    @abstractmethod
    async def _saved(self, paths: frozenset[str], scan: Scan) -> bool:
        """Takes over what was saved; returns False when it asks for nothing."""

    @abstractmethod
    async def _nothing_saved(self, now: float) -> None:
        """Goes on with what was begun before."""

    @abstractmethod
    def _tell(self, text: str) -> None:
        """Shows a text to the user."""
