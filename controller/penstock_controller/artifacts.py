"""The artifacts on disk: STATE/artifacts/HASH, each the content of one packed Truss directory.

An upload goes to a file of its own, and becomes an artifact only when its content has the hash it was announced with.
All calls come from one event loop; what takes long runs in threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import structlog

from penstock.packing import PACKED_BYTES_MAX, Unpacked, UnpackError, unpack
from penstock.state_dir import write_atomically
from penstock_controller.artifact_quota import ARTIFACTS_BYTES_MAX, UNUSED_KEPT, StoredArtifact, to_remove
from penstock_controller.errors import InvalidRequestError, NoRoomError, NotFoundError

UPLOADS_MAX = 4
"""Uploads at the same time; further ones are refused, and may be tried again."""

DISK_RESERVE_BYTES = 256 * 1024 * 1024
"""What an upload leaves free on the disk: the database and the logs need it."""

_UPLOAD_PREFIX = ".upload-"
_TRASH_PREFIX = ".trash-"

_HASH = re.compile(r"[0-9a-f]{64}")

log = structlog.get_logger("controller")


class ArtifactStore:
    """All artifacts of one state folder."""

    def __init__(
        self,
        folder: Path,
        wall: Callable[[], float],
        in_use: Callable[[], Collection[str]] = tuple,
        *,
        bytes_max: int = ARTIFACTS_BYTES_MAX,
        unused_kept: int = UNUSED_KEPT,
    ) -> None:
        """
        Args:
            folder: Is made when it is needed.
            wall: Seconds since the epoch.
            in_use: Returns the artifacts of deployments, which stay.
            bytes_max: Size of all artifacts.
            unused_kept: Artifacts that stay although no deployment uses them.
        """
        self.folder = folder
        self._wall = wall
        self._in_use = in_use
        self._bytes_max = bytes_max
        self._unused_kept = unused_kept
        self._stored: dict[str, StoredArtifact] | None = None
        """None until the folder was looked at, which the first call does."""
        self._uploads = 0

    def path(self, artifact: str) -> Path:
        """Returns the folder with the content, which is to be read only.

        Raises:
            InvalidRequestError: It is no hash.
            NotFoundError: It is not stored.
        """
        if self.size(artifact) is None:
            raise NotFoundError(f"artifact {artifact} is not stored here; push the directory again")
        return self.folder / artifact

    def size(self, artifact: str) -> int | None:
        """Returns the bytes of the content; None when it is not stored. Counts as a use.

        Raises:
            InvalidRequestError: It is no hash.
        """
        check_hash(artifact)
        known = self._known().get(artifact)
        if known is None:
            return None
        self._note(artifact, replace(known, used_wall=self._wall()))
        return known.size_bytes

    async def begin(self, artifact: str, size_bytes: int) -> Upload:
        """Begins an upload of an archive of `size_bytes`. It must be used as a context manager.

        Args:
            artifact: Hash of the content.
            size_bytes: Of the archive.

        Raises:
            InvalidRequestError: The hash or the size is wrong.
            NoRoomError: Too many uploads, or no room.
        """
        check_hash(artifact)
        if not 1 <= size_bytes <= PACKED_BYTES_MAX:
            raise InvalidRequestError(f"size_bytes: must be 1 to {PACKED_BYTES_MAX}, got {size_bytes}")
        if self._uploads >= UPLOADS_MAX:
            raise NoRoomError(f"{UPLOADS_MAX} uploads are under way; try again when one is over")
        await self.make_room(size_bytes)
        free = shutil.disk_usage(self.folder).free
        # The archive and what is unpacked of it are there at the same time.
        if free < 2 * size_bytes + DISK_RESERVE_BYTES:
            raise NoRoomError(
                f"the disk of {self.folder} has {free >> 20} MiB free, and an archive of {size_bytes >> 20} MiB needs "
                f"{(2 * size_bytes + DISK_RESERVE_BYTES) >> 20} MiB; make room there"
            )
        return Upload(self, artifact, size_bytes)

    async def make_room(self, needed_bytes: int = 0) -> None:
        """Removes unused artifacts until `needed_bytes` more fit.

        Raises:
            NoRoomError: They cannot fit.
        """
        known, in_use = self._known(), frozenset(self._in_use())
        removed = to_remove(
            known, in_use, needed_bytes=needed_bytes, bytes_max=self._bytes_max, unused_kept=self._unused_kept
        )
        if removed is None:
            used = sum(known[a].size_bytes for a in known if a in in_use)
            raise NoRoomError(
                f"artifacts may take {self._bytes_max >> 20} MiB, and those of deployments take {used >> 20} MiB; "
                "remove deployments, or name large files in config.yaml under `weights`"
            )
        for artifact in removed:
            trash = self._move_away(artifact)
            log.info("artifact_removed", artifact=artifact)
            await asyncio.to_thread(shutil.rmtree, trash, ignore_errors=True)

    # For an upload.

    def upload_began(self) -> None:
        self._uploads += 1

    def upload_ended(self) -> None:
        self._uploads -= 1

    def room_for_content(self) -> int:
        """Returns the bytes that the content of an upload may have at most."""
        known, in_use = self._known(), frozenset(self._in_use())
        return self._bytes_max - sum(known[a].size_bytes for a in known if a in in_use)

    def unpacked(self, artifact: str, found: Unpacked) -> None:
        """The content of an artifact is in its folder."""
        self._note(artifact, StoredArtifact(found.content_bytes, self._wall()))
        log.info("artifact_stored", artifact=artifact, size_bytes=found.content_bytes)

    # Inside.

    def _known(self) -> dict[str, StoredArtifact]:
        if self._stored is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._stored = _look(self.folder)
        return self._stored

    def _note(self, artifact: str, stored: StoredArtifact) -> None:
        known = self._known()
        known[artifact] = stored
        path = _facts_file(self.folder, artifact)
        try:
            if not path.exists():
                write_atomically(path, json.dumps({"size_bytes": stored.size_bytes}) + "\n")
            os.utime(path, (stored.used_wall, stored.used_wall))
        except OSError as exc:
            # Only the order in which unused ones go depends on it.
            log.warning("artifact_not_noted", artifact=artifact, error=exc.strerror)

    def _move_away(self, artifact: str) -> Path:
        """Returns the folder that is to be deleted: one under its hash is always whole."""
        trash = Path(tempfile.mkdtemp(prefix=_TRASH_PREFIX, dir=self.folder))
        (self.folder / artifact).rename(trash / artifact)
        _facts_file(self.folder, artifact).unlink(missing_ok=True)
        del self._known()[artifact]
        return trash


class Upload:
    """One upload. Leaving the context without `finish` forgets it."""

    def __init__(self, store: ArtifactStore, artifact: str, size_bytes: int) -> None:
        self._store = store
        self._artifact = artifact
        self._size_bytes = size_bytes
        self._received = 0
        self._stack = ExitStack()

    def __enter__(self) -> Upload:
        with ExitStack() as stack:
            self._store.upload_began()
            stack.callback(self._store.upload_ended)
            try:
                file = tempfile.NamedTemporaryFile(prefix=_UPLOAD_PREFIX, dir=self._store.folder)
            except OSError as exc:
                raise _no_room(self._store.folder, exc) from exc
            self._file = stack.enter_context(file)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def add(self, chunk: bytes) -> None:
        """Takes the next bytes.

        Raises:
            InvalidRequestError: They are more than was announced.
            NoRoomError: The disk is full.
        """
        self._received += len(chunk)
        if self._received > self._size_bytes:
            raise InvalidRequestError(f"chunk: more than the announced {self._size_bytes} bytes came")
        try:
            await asyncio.to_thread(self._file.write, chunk)
        except OSError as exc:
            raise _no_room(self._store.folder, exc) from exc

    async def finish(self) -> None:
        """Makes the artifact out of all that has come.

        Raises:
            InvalidRequestError: Something is missing, or it has other content than was announced.
            NoRoomError: Its content is too large.
        """
        if self._received != self._size_bytes:
            raise InvalidRequestError(f"chunk: {self._received} of the announced {self._size_bytes} bytes came")
        room = self._store.room_for_content()
        # A thread cannot be given up: the caller waits for it even when it is cancelled itself.
        task = asyncio.get_running_loop().run_in_executor(None, self._unpack, room)
        try:
            found = await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if task.exception() is None:
                self._store.unpacked(self._artifact, task.result())
            raise
        except UnpackError as exc:
            raise InvalidRequestError(f"artifact {self._artifact}: {exc}") from exc
        except OSError as exc:
            raise _no_room(self._store.folder, exc) from exc
        self._store.unpacked(self._artifact, found)
        # It was used last, so others go first.
        await self._store.make_room()

    def _unpack(self, room: int) -> Unpacked:
        self._file.flush()
        self._file.seek(0)
        target = self._store.folder / self._artifact
        return unpack(self._file, target, self._artifact, content_bytes_max=max(0, room))


def _no_room(folder: Path, error: OSError) -> NoRoomError:
    return NoRoomError(f"the upload cannot be written to {folder}: {error.strerror or error}")


def check_hash(artifact: str) -> None:
    """Raises InvalidRequestError for what cannot name an artifact."""
    if not _HASH.fullmatch(artifact):
        raise InvalidRequestError(f"artifact: must be a SHA-256 in 64 hex digits, got {artifact[:80]!r}")


def _facts_file(folder: Path, artifact: str) -> Path:
    return folder / f"{artifact}.json"


def _look(folder: Path) -> dict[str, StoredArtifact]:
    """Returns what is in the folder, and deletes what a controller that was killed has left half done."""
    found: dict[str, StoredArtifact] = {}
    for path in folder.iterdir():
        if path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        elif _HASH.fullmatch(path.name) and path.is_dir():
            found[path.name] = _facts(folder, path.name)
    return found


def _facts(folder: Path, artifact: str) -> StoredArtifact:
    path = _facts_file(folder, artifact)
    try:
        return StoredArtifact(int(json.loads(path.read_text("utf-8"))["size_bytes"]), path.stat().st_mtime)
    except (OSError, ValueError, KeyError, TypeError):
        files = (Path(place, name) for place, _, names in os.walk(folder / artifact) for name in names)
        size = sum(file.lstat().st_size for file in files)
        return StoredArtifact(size, (folder / artifact).stat().st_mtime)
