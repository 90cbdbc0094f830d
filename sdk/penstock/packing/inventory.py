"""What of a Truss directory is packed: every file, link and empty folder that no pattern leaves out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.packing.digest import Kind, sort_key
from penstock.packing.external import EXTERNAL_FOLDER, outside, packed_names, rewritten
from penstock.packing.ignore import IGNORE_FILES, IgnoreRules
from penstock.packing.limits import CONTENT_BYTES_MAX, ENTRIES_MAX, PackError, path_problem
from penstock.truss import CONFIG_NAME, load_config


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is packed."""

    path: str
    """In the archive, with "/" between names."""
    kind: Kind
    source: Path
    size: int = 0
    """Bytes of a file."""
    content: bytes | None = None
    """What stands for the content of `source`: where a link leads to, or a config.yaml that was changed."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything that is packed of one directory."""

    directory: Path
    entries: tuple[Entry, ...]
    """In the order of their paths."""
    skipped: tuple[str, ...]
    """Sockets, pipes and devices, which have no content."""

    @property
    def content_bytes(self) -> int:
        return sum(entry.size for entry in self.entries)


def take_inventory(directory: Path) -> Inventory:
    """Lists what is packed of `directory`. Reads names and sizes, not contents.

    Raises:
        ConfigError: config.yaml is missing or wrong.
        PackError: Something cannot be packed.
    """
    directory = directory.resolve()
    folders = outside(directory, load_config(directory).external_package_dirs)
    places = packed_names(folders)
    listing = _Listing()
    listing.add_tree(directory, "", reserved=EXTERNAL_FOLDER if folders else "")
    for name, folder in folders.items():
        listing.add_tree(folder, places[name] + "/")
    if places:
        listing.entries[CONFIG_NAME] = _changed_config(listing.entries.get(CONFIG_NAME), places)
    if CONFIG_NAME not in listing.entries:
        raise PackError(f"{CONFIG_NAME} is left out by {' or '.join(IGNORE_FILES)}; nothing can be served without it")
    ordered = sorted(listing.entries.values(), key=lambda entry: sort_key(entry.path))
    return Inventory(directory, tuple(ordered), tuple(listing.skipped))


class _Listing:
    """Entries as they are found, and the bounds on them."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.skipped: list[str] = []
        self._bytes = 0

    def add_tree(self, root: Path, prefix: str, *, reserved: str = "") -> None:
        """Adds everything below `root`, with `prefix` before its paths."""
        rules = IgnoreRules(_ignore_lines(root))
        waiting = [""]
        while waiting:
            relative = waiting.pop()
            kept = 0
            for item in _scan(root / relative):
                path = f"{relative}/{item.name}" if relative else item.name
                if path == reserved:
                    raise PackError(f"{path}: this name is kept for packed external_package_dirs; rename it")
                is_folder = item.is_dir(follow_symlinks=False)
                if rules.ignores(path, is_folder=is_folder):
                    continue
                kept += 1
                if is_folder:
                    waiting.append(path)
                else:
                    self._add_item(root, path, prefix)
            if not kept and relative:
                self._add(Entry(prefix + relative, Kind.FOLDER, root / relative))

    def _add_item(self, root: Path, path: str, prefix: str) -> None:
        source = root / path
        try:
            found = source.lstat()
            if stat.S_ISLNK(found.st_mode):
                self._add(Entry(prefix + path, Kind.LINK, source, content=os.fsencode(_link(root, path))))
                return
        except OSError as exc:
            raise PackError(f"{source}: cannot be read: {exc.strerror}") from exc
        if not stat.S_ISREG(found.st_mode):
            self.skipped.append(prefix + path)
            return
        kind = Kind.EXECUTABLE if found.st_mode & 0o111 else Kind.FILE
        self._bytes += found.st_size
        if self._bytes > CONTENT_BYTES_MAX:
            raise PackError(
                f"{root}: holds more than {CONTENT_BYTES_MAX >> 30} GiB; leave large files out with {IGNORE_FILES[0]} "
                "and name them in config.yaml under `weights` or `external_data`"
            )
        self._add(Entry(prefix + path, kind, source, found.st_size))

    def _add(self, entry: Entry) -> None:
        if problem := path_problem(entry.path):
            raise PackError(f"{entry.path!r}: this path {problem}; rename it, or leave it out with {IGNORE_FILES[0]}")
        self.entries[entry.path] = entry
        if len(self.entries) > ENTRIES_MAX:
            raise PackError(f"more than {ENTRIES_MAX} files; leave out what is not needed with {IGNORE_FILES[0]}")


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            yield from items
    except OSError as exc:
        raise PackError(f"{folder}: cannot be read: {exc.strerror}") from exc


def _link(root: Path, path: str) -> str:
    """Returns where a link leads to."""
    target = os.readlink(root / path)
    try:
        is_inside = not os.path.isabs(target) and (root / path).resolve().is_relative_to(root)
    except RuntimeError:
        # Links that lead to one another in a circle lead nowhere.
        is_inside = False
    if not is_inside:
        raise PackError(
            f"{path}: this link leads out of {root} (to {target}); put a copy in its place, "
            f"or leave it out with {IGNORE_FILES[0]}"
        )
    return target


def _ignore_lines(root: Path) -> list[str]:
    for name in IGNORE_FILES:
        try:
            return (root / name).read_text("utf-8-sig", "replace").splitlines()
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise PackError(f"{root / name}: cannot be read: {exc.strerror}") from exc
    return []


def _changed_config(entry: Entry | None, places: Mapping[str, str]) -> Entry:
    if entry is None or entry.kind is Kind.LINK:
        raise PackError(f"{CONFIG_NAME}: must be a file of the directory itself")
    content = rewritten(entry.source.read_text("utf-8-sig"), places).encode()
    return Entry(entry.path, entry.kind, entry.source, len(content), content)
