from __future__ import annotations

import asyncio
from pathlib import Path

from penstock.cli.up.admin import AdminError
from penstock.cli.up.tree_watch import TreeWatch
from penstock.cli.up.watched_change import SETTLED_S
from penstock.cli.up.watched_tree import Scan, Stamp, WatchedTree


class Noted(TreeWatch):
    """Notes what it was asked for."""

    def __init__(self, folder: Path, *, wants: bool = True, error: str = "") -> None:
        super().__init__()
        self._tree = WatchedTree(folder)
        self._seen = Scan()
        self._wants = wants
        self._error = error
        self.saved: list[frozenset[str]] = []
        self.idle = 0
        self.told: list[str] = []

    async def _saved(self, paths: frozenset[str], scan: Scan) -> bool:
        self.saved.append(paths)
        if self._error:
            raise AdminError(self._error)
        return self._wants

    async def _nothing_saved(self, now: float) -> None:
        self.idle += 1

    def _tell(self, text: str) -> None:
        self.told.append(text)


def files(*names: str, is_complete: bool = True) -> Scan:
    return Scan({name: Stamp(1, 1, 1) for name in names}, is_complete)


def look(watch: TreeWatch, scan: Scan, *times: float) -> None:
    for now in times:
        asyncio.run(watch.look(scan, now))


def test_a_save_is_taken_over_once_it_has_settled(tmp_path: Path) -> None:
    watch = Noted(tmp_path)

    look(watch, files("a.py"), 0.0)
    assert (watch.saved, watch.idle) == ([], 1)

    look(watch, files("a.py"), SETTLED_S + 0.01, 1.0)
    assert watch.saved == [frozenset({"a.py"})]
    assert watch.idle == 2


def test_a_save_that_asks_for_nothing_does_not_keep_it_from_going_on(tmp_path: Path) -> None:
    watch = Noted(tmp_path, wants=False)

    look(watch, files("notes.txt"), 0.0, 1.0)

    assert len(watch.saved) == 1
    assert watch.idle == 2


def test_what_the_controller_refuses_is_told_and_the_watch_goes_on(tmp_path: Path) -> None:
    watch = Noted(tmp_path, error="it is away")

    look(watch, files("a.py"), 0.0, 1.0, 2.0)

    assert watch.told == ["a.py was not taken over: it is away"]
    assert watch.idle == 2


def test_that_files_are_left_out_is_told_once(tmp_path: Path) -> None:
    watch = Noted(tmp_path)

    look(watch, files("a.py", is_complete=False), 0.0, 1.0, 2.0)

    (text,) = watch.told
    assert text.startswith("only the first 5000 files are watched")
