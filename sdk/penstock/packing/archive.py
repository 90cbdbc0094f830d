"""Packs a Truss directory into one file: a tar compressed with gzip, the same bytes for the same content.

Memory is bounded: files go through in pieces.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from penstock.packing.digest import ContentDigest, Kind
from penstock.packing.inventory import Entry, Inventory, take_inventory
from penstock.packing.limits import CHUNK_BYTES, PACKED_BYTES_MAX, PackError

COMPRESSION_LEVEL = 1
"""Code is small whatever the level; higher ones only cost time."""

SAMPLE_BYTES = 32 * 1024
WORTH_IT = 0.95
"""A piece whose sample does not get smaller than this share is stored as it is: weights cannot be compressed, and
trying takes ten times as long as reading them."""

MODES = {Kind.FILE: 0o644, Kind.EXECUTABLE: 0o755, Kind.FOLDER: 0o755, Kind.LINK: 0o777}
TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.EXECUTABLE: tarfile.REGTYPE,
    Kind.FOLDER: tarfile.DIRTYPE,
    Kind.LINK: tarfile.SYMTYPE,
}

Progress = Callable[[int, int], None]
"""Called with the bytes that are done and all there are."""


@dataclass(frozen=True, slots=True)
class PackedDirectory:
    """An archive that was written."""

    artifact: str
    """Hash of the content in hex: the name of the artifact."""
    size_bytes: int
    """Of the archive."""
    content_bytes: int
    entries: int
    skipped: tuple[str, ...] = ()
    """Sockets, pipes and devices, which have no content."""


def content_hash(inventory: Inventory, progress: Progress | None = None) -> str:
    """Returns the hash that names the content, without an archive. Reads all files.

    Raises:
        PackError: Something cannot be read.
    """
    return _Writer(inventory, None, progress).write()


def pack(inventory: Inventory, output: IO[bytes], progress: Progress | None = None) -> PackedDirectory:
    """Writes the archive to `output`.

    Raises:
        PackError: Something cannot be read, or the archive gets too large.
        OSError: `output` cannot be written.
    """
    counted = _Counted(output)
    packed = _Compressed(counted)
    # A stream is only written to.
    with tarfile.open(fileobj=cast(IO[bytes], packed), mode="w|", format=tarfile.PAX_FORMAT) as tar:
        artifact = _Writer(inventory, tar, progress).write()
    packed.close()
    entries = len(inventory.entries)
    return PackedDirectory(artifact, counted.size, inventory.content_bytes, entries, inventory.skipped)


def pack_directory(directory: Path, output: IO[bytes], progress: Progress | None = None) -> PackedDirectory:
    """Takes the inventory and packs it; see there for the errors."""
    return pack(take_inventory(directory), output, progress)


class _Writer:
    """Goes through the entries once."""

    def __init__(self, inventory: Inventory, tar: tarfile.TarFile | None, progress: Progress | None) -> None:
        self._inventory = inventory
        self._tar = tar
        self._progress = progress
        self._digest = ContentDigest()
        self._done = 0
        self._all = inventory.content_bytes

    def write(self) -> str:
        for entry in self._inventory.entries:
            self._write(entry)
        return self._digest.hexdigest()

    def _write(self, entry: Entry) -> None:
        info = tarfile.TarInfo(entry.path)
        info.type, info.mode = TYPES[entry.kind], MODES[entry.kind]
        if entry.kind is Kind.LINK:
            info.linkname = (entry.content or b"").decode()
            self._digest.entry(entry.kind, entry.path, entry.content or b"")
        elif entry.kind is Kind.FOLDER:
            self._digest.entry(entry.kind, entry.path, b"")
        else:
            info.size = entry.size
            self._digest.begin(entry.kind, entry.path, entry.size)
            self._write_file(entry, info)
            return
        if self._tar is not None:
            self._tar.addfile(info)

    def _write_file(self, entry: Entry, info: tarfile.TarInfo) -> None:
        with ExitStack() as stack:
            try:
                source: IO[bytes] = (
                    stack.enter_context(entry.source.open("rb")) if entry.content is None else io.BytesIO(entry.content)
                )
            except OSError as exc:
                raise PackError(f"{entry.source}: cannot be read: {exc.strerror}") from exc
            read = _Read(source, entry, self._took)
            if self._tar is not None:
                self._tar.addfile(info, read)
            else:
                read.drain()

    def _took(self, content: bytes) -> None:
        self._digest.add(content)
        self._done += len(content)
        if self._progress is not None:
            self._progress(self._done, self._all)


class _Read:
    """A file that is read exactly as long as the inventory says."""

    def __init__(self, source: IO[bytes], entry: Entry, took: Callable[[bytes], None]) -> None:
        self._source = source
        self._entry = entry
        self._left = entry.size
        self._took = took

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        size = min(size, self._left)
        try:
            content = self._source.read(size)
        except OSError as exc:
            raise PackError(f"{self._entry.source}: cannot be read: {exc.strerror}") from exc
        if len(content) < size:
            raise PackError(f"{self._entry.source}: got shorter while it was read; try again when nothing writes to it")
        self._left -= size
        self._took(content)
        return content

    def drain(self) -> None:
        while self._left:
            self.read()


class _Compressed:
    """Compresses piece by piece; each is a member of its own, as gzip allows, so that one can be stored as it is."""

    def __init__(self, output: _Counted) -> None:
        self._output = output
        self._waiting = bytearray()

    def write(self, content: bytes) -> int:
        self._waiting += content
        while len(self._waiting) >= CHUNK_BYTES:
            self._put(bytes(self._waiting[:CHUNK_BYTES]))
            del self._waiting[:CHUNK_BYTES]
        return len(content)

    def close(self) -> None:
        if self._waiting:
            self._put(bytes(self._waiting))
            self._waiting.clear()

    def _put(self, piece: bytes) -> None:
        sample = piece[:SAMPLE_BYTES]
        is_worth_it = len(zlib.compress(sample, COMPRESSION_LEVEL)) < WORTH_IT * len(sample)
        # No time in the header: it is no part of the content.
        self._output.write(gzip.compress(piece, COMPRESSION_LEVEL if is_worth_it else 0, mtime=0))


class _Counted:
    """An output that may not get too large."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self.size = 0

    def write(self, content: bytes) -> int:
        self.size += len(content)
        if self.size > PACKED_BYTES_MAX:
            raise PackError(f"the archive gets larger than {PACKED_BYTES_MAX >> 30} GiB; leave large files out")
        self._output.write(content)
        return len(content)
