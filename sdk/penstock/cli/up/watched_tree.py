"""What lies in a Truss directory at one moment: enough to tell which files were saved since."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.packing.ignore import IGNORE_FILES, IgnoreRules

FILES_MAX = 5000
"""Files that are watched in one directory; what is beyond is not, and that is said."""
_JUNK = ("*.swp", "*.swx", "*~", ".#*", "4913", "*.tmp", ".*_cache", ".idea", ".vscode", ".DS_Store", "*.log")
"""What editors and tools leave for a moment, or write for themselves."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file is saved."""

    changed_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class Scan:
    """One look."""

    files: Mapping[str, Stamp] = field(default_factory=dict)
    """By path relative to the directory, with "/" between names; those of other folders by absolute path."""
    is_complete: bool = True
    """False: there are more than FILES_MAX."""

    def changes(self, later: Scan) -> frozenset[str]:
        """Returns the paths that were saved, made or removed until `later`."""
        return frozenset(path for path, _ in self.files.items() ^ later.files.items())

    def before_edits_since(self, earlier: Scan) -> Scan:
        """Returns this look, but each file that was edited since `earlier` as it was then.

        Files that were made or removed since count as seen: builds make files, too.
        """
        then = {path: stamp for path, stamp in earlier.files.items() if path in self.files}
        return Scan({**self.files, **then}, self.is_complete)


class WatchedTree:
    """Looks at one directory again and again.

    Args:
        root: The Truss directory, absolute.
        skipped: Folders in it, relative, that are not looked into.
        others: Further folders, absolute, that belong to it.
    """

    def __init__(self, root: Path, *, skipped: Sequence[str] = (), others: Sequence[Path] = ()) -> None:
        self._root = root
        self._skipped = frozenset(skipped)
        self._others = tuple(others)
        self._rules = IgnoreRules((*_JUNK, *_ignore_lines(root)))
        self._verdicts: dict[str, bool] = {}

    def scan(self) -> Scan:
        """Reads names, times and sizes, no contents. A folder that cannot be read counts as empty."""
        files: dict[str, Stamp] = {}
        is_complete = self._add(self._root, "", files)
        for folder in self._others:
            is_complete = self._add(folder, f"{folder}/", files) and is_complete
        return Scan(files, is_complete)

    def _add(self, folder: Path, prefix: str, files: dict[str, Stamp]) -> bool:
        waiting = [(str(folder), prefix)]
        while waiting:
            place, before = waiting.pop()
            try:
                with os.scandir(place) as found:
                    items = list(found)
            except OSError:
                continue
            for item in items:
                path = before + item.name
                is_folder = item.is_dir(follow_symlinks=False)
                if self._ignores(path, is_folder=is_folder):
                    continue
                if is_folder:
                    waiting.append((item.path, f"{path}/"))
                elif len(files) >= FILES_MAX:
                    return False
                elif (stamp := _stamp(item)) is not None:
                    files[path] = stamp
        return True

    def _ignores(self, path: str, *, is_folder: bool) -> bool:
        verdict = self._verdicts.get(path)
        if verdict is None:
            if len(self._verdicts) > 4 * FILES_MAX:
                # Names that come and go: the memory of them must not grow for ever.
                self._verdicts.clear()
            relative = path.lstrip("/")
            verdict = path in self._skipped or self._rules.ignores(relative, is_folder=is_folder)
            self._verdicts[path] = verdict
        return verdict


def _stamp(item: os.DirEntry[str]) -> Stamp | None:
    try:
        # Of what a link leads to: editors save there.
        found = item.stat()
    except OSError:
        return None
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def _ignore_lines(root: Path) -> list[str]:
    for name in IGNORE_FILES:
        try:
            return (root / name).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
    return []
