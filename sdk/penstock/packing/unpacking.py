"""Unpacks an archive into a folder, which appears whole or not at all."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from penstock.packing.digest import ContentDigest, Kind, sort_key
from penstock.packing.limits import CONTENT_BYTES_MAX, ENTRIES_MAX, UnpackError, path_problem
from penstock.packing.tar_reader import TarEntry, read_tar

TEMPORARY_PREFIX = ".unpack-"
"""Names of folders that are not whole yet begin so; one that was left behind may be deleted."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of an archive."""

    content_bytes: int
    entries: int


def unpack(
    packed: IO[bytes],
    target: Path,
    artifact: str,
    *,
    content_bytes_max: int = CONTENT_BYTES_MAX,
    entries_max: int = ENTRIES_MAX,
) -> Unpacked:
    """Makes the folder `target` out of an archive. Its parent must exist; if `target` does, it stays as it is.

    Args:
        packed: The archive, at its beginning.
        target: A folder that is to have exactly the content of the archive.
        artifact: Hash of the content that is expected, in hex.
        content_bytes_max: Most bytes of all files.
        entries_max: Most entries.

    Raises:
        UnpackError: The archive is damaged, unsafe, too large, or has other content.
        OSError: It cannot be written.
    """
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent))
    try:
        temporary.chmod(0o755)
        unpacking = _Unpacking(temporary, content_bytes_max, entries_max)
        with gzip.GzipFile(fileobj=packed, mode="rb") as plain:
            try:
                for entry in read_tar(plain):
                    unpacking.take(entry)
            except zlib.error as exc:
                raise UnpackError(f"the archive is damaged: {exc}") from exc
        unpacking.make_links()
        if unpacking.digest.hexdigest() != artifact:
            raise UnpackError(
                f"the content has the hash {unpacking.digest.hexdigest()}, not {artifact}: "
                "it was changed while it was packed, or damaged on its way"
            )
        try:
            temporary.rename(target)
        except OSError:
            # Somebody else was faster; the same hash means the same content.
            if not target.is_dir():
                raise
        return Unpacked(unpacking.content_bytes, unpacking.entries)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


class _Unpacking:
    """Entries become files. Paths are checked, and links are made last, so nothing is written through one."""

    def __init__(self, root: Path, content_bytes_max: int, entries_max: int) -> None:
        self._root = root
        self._content_bytes_max = content_bytes_max
        self._entries_max = entries_max
        self._links: list[tuple[str, str]] = []
        self._last = b""
        self.digest = ContentDigest()
        self.content_bytes = 0
        self.entries = 0

    def take(self, entry: TarEntry) -> None:
        self._check(entry)
        path = self._root / entry.path
        try:
            if entry.kind is Kind.LINK:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._links.append((entry.path, entry.link))
                self.digest.entry(entry.kind, entry.path, entry.link.encode())
            elif entry.kind is Kind.FOLDER:
                path.mkdir(parents=True)
                self.digest.entry(entry.kind, entry.path, b"")
            else:
                self._write(entry, path)
        except (FileExistsError, NotADirectoryError) as exc:
            raise UnpackError(f"{entry.path!r} stands where another entry needs a folder, or twice") from exc

    def make_links(self) -> None:
        """Makes the links, and refuses those that lead out, over others too."""
        for path, target in self._links:
            if not target or "\0" in target or os.path.isabs(target):
                raise UnpackError(f"{path!r} is a link that leads out of the directory")
            try:
                (self._root / path).symlink_to(target)
            except FileExistsError as exc:
                raise UnpackError(f"{path!r} stands twice") from exc
        root = self._root.resolve()
        for path, _ in self._links:
            try:
                is_inside = (root / path).resolve().is_relative_to(root)
            except (OSError, RuntimeError):
                # Links that lead to one another in a circle lead nowhere.
                is_inside = False
            if not is_inside:
                raise UnpackError(f"{path!r} is a link that leads out of the directory")

    def _check(self, entry: TarEntry) -> None:
        if problem := path_problem(entry.path):
            raise UnpackError(f"{entry.path[:200]!r}: this path {problem}")
        key = sort_key(entry.path)
        if key <= self._last:
            raise UnpackError(f"{entry.path!r} is not in the order of paths, or stands twice")
        self._last = key
        self.entries += 1
        self.content_bytes += entry.size
        if self.entries > self._entries_max:
            raise UnpackError(f"it has more than {self._entries_max} entries")
        if self.content_bytes > self._content_bytes_max:
            raise UnpackError(f"it has more than {self._content_bytes_max} bytes when unpacked")

    def _write(self, entry: TarEntry, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.digest.begin(entry.kind, entry.path, entry.size)
        mode = 0o755 if entry.kind is Kind.EXECUTABLE else 0o644
        # O_EXCL and O_NOFOLLOW: an entry may neither replace another nor go through a link.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            for piece in entry.content:
                self.digest.add(piece)
                file.write(piece)
