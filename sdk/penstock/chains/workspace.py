"""Which files belong to a chain: everything in the folder of its file that no pattern leaves out."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.chains.errors import ChainsUsageError
from penstock.packing.ignore import IGNORE_FILES, IgnoreRules

ENTRIES_MAX = 10_000
"""Files that one folder may hold: each chainlet gets a copy of them."""
CONTENT_BYTES_MAX = 1024**3
"""Size of all these files together."""
NAMES_MAX = 64
"""Folders that may lie in one another; links that lead in a circle end here at the latest."""
GENERATED_FOLDER = ".chains_generated"
"""Name of folders with generated Trusses, which belong to no chain."""
ALWAYS_IGNORED = (GENERATED_FOLDER, ".*_cache", ".idea", ".vscode", ".DS_Store", "*.swp", "*~", "venv")
"""Patterns that stand before those of the ignore file, which may take them back with `!`."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a generated Truss: content of its own, or a copy of another file."""

    content: bytes = b""
    copied_from: Path | None = None
    is_executable: bool = False


Tree = dict[str, SourceFile]
"""By path, with "/" between names."""


def list_folder(folder: Path, *, what: str) -> Tree:
    """Lists the files of a folder. Links are followed, so that the copy needs nothing beside it.

    Args:
        what: Says what the folder is for, in errors.

    Raises:
        ChainsUsageError: It cannot be read, or holds too much.
    """
    if not folder.is_dir():
        raise ChainsUsageError(f"{what}: there is no folder {folder}")
    listing = _Listing(folder.resolve(), what, IgnoreRules((*ALWAYS_IGNORED, *_ignore_lines(folder))))
    listing.add("", (folder.resolve(),))
    return dict(sorted(listing.found.items()))


@dataclass
class _Listing:
    root: Path
    what: str
    rules: IgnoreRules
    found: Tree = field(default_factory=dict)
    size: int = 0

    def add(self, prefix: str, above: Sequence[Path]) -> None:
        """Adds what lies below `prefix`; `above` are the real folders on the way there."""
        try:
            with os.scandir(self.root / prefix) as items:
                entries = sorted(items, key=lambda item: item.name)
        except OSError as exc:
            raise ChainsUsageError(f"{self.what}: {self.root / prefix} cannot be read: {exc.strerror}") from None
        for entry in entries:
            path = prefix + entry.name
            try:
                is_folder = entry.is_dir()
                if self.rules.ignores(path, is_folder=is_folder):
                    continue
                found = entry.stat()
            except OSError:
                # A link to nowhere.
                continue
            if is_folder:
                real = Path(entry.path).resolve()
                if real not in above and len(above) < NAMES_MAX:
                    self.add(f"{path}/", (*above, real))
            elif stat.S_ISREG(found.st_mode):
                self._count(found.st_size)
                self.found[path] = SourceFile(
                    copied_from=Path(entry.path), is_executable=bool(found.st_mode & stat.S_IXUSR)
                )

    def _count(self, size: int) -> None:
        self.size += size
        problem = ""
        if len(self.found) >= ENTRIES_MAX:
            problem = f"more than {ENTRIES_MAX} files"
        elif self.size > CONTENT_BYTES_MAX:
            problem = f"more than {CONTENT_BYTES_MAX >> 20} MiB"
        if problem:
            raise ChainsUsageError(
                f"{self.what}: {self.root} holds {problem}, and every chainlet gets a copy of it. Put the chain's file "
                f"into a folder of its own, or leave files out with {self.root / IGNORE_FILES[0]}; large files belong "
                "under `Assets(weights=…)` or `external_data`."
            )


def _ignore_lines(folder: Path) -> list[str]:
    for name in IGNORE_FILES:
        try:
            return (folder / name).read_text("utf-8-sig", "replace").splitlines()
        except OSError:
            continue
    return []
