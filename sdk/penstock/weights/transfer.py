"""Brings one file to the disk: resumes what was begun, tries again, and checks what came."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import IO

from penstock.weights.digests import file_sha256
from penstock.weights.errors import Stopped, TransferError, WeightsError
from penstock.weights.manifest import content_key
from penstock.weights.progress import SharedProgress, size_text
from penstock.weights.remote_file import Opened, RemoteFile
from penstock.weights.retrying import RetryPolicy, jitter

READ_BYTES = 1024 * 1024
ROOM_CHECK_BYTES = 64 * 1024 * 1024
"""After so many bytes of unannounced length the room on the disk is looked at again."""
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
PART_SUFFIX = ".part"
NOTE_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """How patient a transfer is."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    slow_window_s: float = 60.0
    slow_bytes: int = 64 * 1024
    """Fewer bytes than this in `slow_window_s` are a failure: a server that only drips is left and asked anew."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that is complete."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Fetches files into one folder; may be used by several threads."""

    folder: Path
    parts: Path
    """Folder for files that are not complete."""
    key: str
    """Of config.yaml, for errors."""
    progress: SharedProgress
    stop: Event
    """Set from outside: every transfer ends soon with Stopped."""
    make_room: Callable[[], None]
    """Called while a file of unknown length grows; raises WeightsError when there is no room for more."""
    report: Callable[[str], None]
    settings: TransferSettings = field(default_factory=TransferSettings)
    clock: Callable[[], float] = time.monotonic

    def fetch(self, file: RemoteFile) -> Arrived:
        """Returns once `file` is complete below `folder`, with its length and checksum as announced.

        Raises:
            WeightsError: it cannot be had. What was fetched stays for the next time, unless it was wrong.
            Stopped: `stop` was set.
        """
        target = self.folder / file.name
        # Not beside the file: the source may have a file of that name, too.
        part = self.parts / f"{content_key(file.name)}{PART_SUFFIX}"
        failures = attempts = 0
        was_wrong = False
        while True:
            before = _size(part)
            try:
                if target.exists():
                    # From a fetch that ended before all files of the source were there.
                    return self._complete(file, target)
                return self._attempt(file, target, part)
            except _WrongContent as exc:
                # Once more from the beginning: the parts may have been of two versions.
                attempts += 1
                if was_wrong:
                    raise WeightsError(self.key, f"{file.name}: {exc}; tried twice") from None
                was_wrong = True
                self.report(f"{file.name}: {exc}; fetching it again from the beginning")
            except TransferError as exc:
                attempts += 1
                failures = 1 if _size(part) > before else failures + 1
                delay = self.settings.retry.delay_s(exc, failures=failures, attempts=attempts, jitter=jitter())
                if delay is None:
                    tried = f" (attempt {attempts})" if attempts > 1 else ""
                    raise WeightsError(self.key, f"{file.name}: {exc}{tried}") from None
                self.report(f"{file.name}: {exc}; trying again in {delay:.1f} s, {size_text(_size(part))} are kept")
                if self.stop.wait(delay):
                    raise Stopped from None
            except OSError as exc:
                raise self._disk_error(file, part, exc) from exc

    def _complete(self, file: RemoteFile, target: Path) -> Arrived:
        digest = file_sha256(target).hexdigest()
        size = target.stat().st_size
        self.progress.skip(size)
        return Arrived(file.name, size, digest)

    def _attempt(self, file: RemoteFile, target: Path, part: Path) -> Arrived:
        note = part.with_suffix(NOTE_SUFFIX)
        part.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        have, validator, total_before = self._begun(file, part, note)
        try:
            opened = file.origin.open(have, validator)
        except TransferError as exc:
            if exc.is_stale:
                part.unlink(missing_ok=True)
            raise
        try:
            has_changed = opened.validator != validator or (total_before is not None and opened.total != total_before)
            if have and opened.offset and has_changed:
                part.unlink()
                raise TransferError("the file has changed at its source", retryable=True, is_stale=True)
            have = min(have, opened.offset)
            _write_note(note, opened)
            with part.open("r+b" if have else "wb") as out:
                return self._receive(file, opened, have, out, target, part, note)
        finally:
            opened.close()

    def _begun(self, file: RemoteFile, part: Path, note: Path) -> tuple[int, str, int | None]:
        """Returns how much is there that can be continued, with the validator and length it was begun with."""
        have = _size(part)
        if not have:
            return 0, "", None
        try:
            content = json.loads(note.read_text("utf-8"))
            validator, total = str(content["validator"]), content["total"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0, "", None
        can_be_joined = validator or file.sha256 or content.get("sha256")
        if not can_be_joined or (isinstance(total, int) and have > total):
            return 0, "", None
        return have, validator, total if isinstance(total, int) else None

    def _receive(
        self, file: RemoteFile, opened: Opened, have: int, out: IO[bytes], target: Path, part: Path, note: Path
    ) -> Arrived:
        total = opened.total if opened.total is not None else file.size
        if file.size is not None and opened.total not in (None, file.size):
            raise _wrong(part, f"has {opened.total} bytes at the server; {file.size} were announced")
        self._check_disk(file, part, (total or 0) - have)
        digest = file_sha256(part)
        out.seek(have)
        self.progress.skip(have)
        try:
            size = self._copy(opened, out, digest.update, have)
            out.flush()
            os.fsync(out.fileno())
            if total is not None and size > total:
                raise _wrong(part, f"has more than the {total} bytes that were announced")
            if total is not None and size < total:
                raise TransferError(f"the server ended after {size} of {total} bytes", retryable=True)
            wanted = {value for value in (file.sha256, opened.sha256) if value}
            if wanted - {digest.hexdigest()}:
                raise _wrong(part, f"SHA-256 is {digest.hexdigest()}, expected {' and '.join(sorted(wanted))}")
        except BaseException:
            self.progress.skip(-out.tell())
            raise
        part.chmod(0o444)
        os.replace(part, target)
        note.unlink(missing_ok=True)
        return Arrived(file.name, size, digest.hexdigest())

    def _copy(self, opened: Opened, out: IO[bytes], update: Callable[[bytes], None], size: int) -> int:
        window_at, window_size = self.clock(), size
        room_at = size
        while True:
            if self.stop.is_set():
                raise Stopped
            data = opened.read(READ_BYTES)
            if not data:
                return size
            out.write(data)
            update(data)
            size += len(data)
            self.progress.add(len(data))
            if opened.total is None and size - room_at >= ROOM_CHECK_BYTES:
                out.flush()
                self.make_room()
                room_at = size
            now = self.clock()
            if now - window_at >= self.settings.slow_window_s:
                if size - window_size < self.settings.slow_bytes:
                    out.flush()
                    seconds = round(now - window_at)
                    message = f"the server sent only {size_text(size - window_size)} in {seconds} s"
                    raise TransferError(message, retryable=True)
                window_at, window_size = now, size

    def _check_disk(self, file: RemoteFile, part: Path, needed: int) -> None:
        free = shutil.disk_usage(part.parent).free
        if needed > free:
            raise WeightsError(
                self.key,
                f"{file.name} needs {size_text(needed)} more, and {size_text(free)} are free on the disk of "
                f"{part.parent}; make room, or choose another cache folder",
            )

    def _disk_error(self, file: RemoteFile, part: Path, exc: OSError) -> WeightsError:
        if exc.errno in DISK_FULL:
            free = shutil.disk_usage(self.folder).free
            return WeightsError(
                self.key,
                f"{file.name} cannot be written: {exc.strerror} ({part}, {size_text(free)} free); "
                f"{size_text(_size(part))} are kept, and the next start goes on from there",
            )
        return WeightsError(self.key, f"{file.name} cannot be written to {part}: {exc.strerror or exc}")


class _WrongContent(Exception):
    """What came is not what was announced; it is removed."""


def _wrong(part: Path, message: str) -> _WrongContent:
    part.unlink(missing_ok=True)
    return _WrongContent(message)


def _write_note(note: Path, opened: Opened) -> None:
    content = {"validator": opened.validator, "total": opened.total, "sha256": opened.sha256}
    note.write_text(json.dumps(content), "utf-8")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # Not there, or a place where nothing can be: writing will say so.
        return 0
