"""The folder of environments: one per content, built once, bounded.

An environment is there when its record is: the record is written last, as a whole, and removed first. An environment
cannot be built elsewhere and moved, since its programs name their folder. A lock file beside each folder is held while
it is looked up, built or removed; what a killed build has left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from penstock.preparation.build_process import Report
from penstock.preparation.errors import PreparationError
from penstock.preparation.eviction import Kept, choose_evictions
from penstock.state_dir import write_atomically

RECORD_NAME = "environment.json"
USERS_NAME = "users"
POLL_S = 0.1
ABANDONED_S = 3600.0
"""A folder without a record, not locked and not changed for so long, was left by a build that was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of a finished environment."""

    minor: str
    """Its version of Python, such as "3.11"."""
    fingerprint: str
    """The platform's packages when the environment was last found to work with them."""
    lines: tuple[str, ...] = ()
    """What was asked for, for people."""
    base: str = ""
    """Key of the environment that stands behind; empty for none."""
    token: str = ""
    """Names this very build; see build_commands."""
    bytes: int = 0


class EnvironmentCache:
    """A folder that processes share. `wait_s` is the longest wait for one that builds the same environment."""

    def __init__(self, folder: Path, *, wait_s: float) -> None:
        self._folder = folder.absolute()
        self._wait_s = wait_s

    def place(self, key: str) -> Path:
        """Returns the folder of an environment, which need not be there."""
        return self._folder / key

    @contextlib.contextmanager
    def hold(self, key: str, report: Report) -> Iterator[int]:
        """Keeps all other processes from looking up, building or removing `key`; gives the descriptor of the lock.

        Raises:
            PreparationError: Another process has it for longer than `wait_s`, or the folder cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = self._lock(key, report)
        except OSError as exc:
            raise PreparationError(f"the cache folder {self._folder} cannot be used: {exc.strerror or exc}") from None
        try:
            yield fd
        finally:
            os.close(fd)

    def find(self, key: str) -> Record | None:
        """Returns the record of a finished environment and marks it as used; None when there is none. Hold it."""
        path = self.place(key) / RECORD_NAME
        record = _read(path)
        if record is not None:
            os.utime(path)
        return record

    def clear(self, key: str) -> None:
        """Removes what is there, finished or not. Hold it."""
        folder = self.place(key)
        (folder / RECORD_NAME).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def publish(self, key: str, record: Record) -> None:
        """Makes a built environment a finished one, or replaces its record. Hold it."""
        folder = self.place(key)
        complete = replace(record, bytes=record.bytes or _size(folder))
        write_atomically(folder / RECORD_NAME, json.dumps(asdict(complete)) + "\n")

    def add_user(self, key: str, result_file: Path) -> None:
        """Notes that `result_file` names this environment's interpreter: it is in use as long as that file does."""
        folder = self.place(key) / USERS_NAME
        folder.mkdir(exist_ok=True)
        path = str(result_file.absolute())
        write_atomically(folder / hashlib.sha256(path.encode()).hexdigest()[:16], path)

    def trim(self, *, entries_max: int, bytes_max: int, report: Report) -> str:
        """Removes the longest unused environments until the bounds hold. Hold none of them.

        Returns:
            What to tell the user when the bounds cannot be kept; else empty.
        """
        self._remove_abandoned(report)
        now = time.time()
        records = self._records()
        kept = [Kept(key, record.bytes, used_at, record.base) for key, (record, used_at) in records.items()]
        in_use = {key for key in records if self._is_in_use(key, _programs(self._folder))}
        chosen = choose_evictions(kept, in_use=in_use, now=now, entries_max=entries_max, bytes_max=bytes_max)
        for key in chosen.keys:
            record, used_at = records[key]
            if self._remove(key, used_at):
                report(
                    f"removed the environment {key} ({_shown(record)}; {record.bytes / 2**20:.0f} MiB), unused for "
                    f"{(now - used_at) / 3600:.1f} h: at most {entries_max} with {bytes_max / 2**30:g} GiB are kept"
                )
        if chosen.is_enough:
            return ""
        total = sum(entry.bytes for entry in kept if entry.key not in chosen.keys)
        return (
            f"{len(kept) - len(chosen.keys)} environments with {total / 2**30:.1f} GiB are in use in {self._folder}, "
            f"more than the bound of {entries_max} with {bytes_max / 2**30:g} GiB; none can be removed"
        )

    def _records(self) -> dict[str, tuple[Record, float]]:
        records = {}
        for path in self._folder.glob(f"*/{RECORD_NAME}"):
            record = _read(path)
            if record is not None:
                with contextlib.suppress(OSError):
                    records[path.parent.name] = (record, path.stat().st_mtime)
        return records

    def _is_in_use(self, key: str, programs: list[str]) -> bool:
        inside = f"{self.place(key)}{os.sep}"
        if any(program.startswith(inside) for program in programs):
            return True
        for user in (self.place(key) / USERS_NAME).glob("*"):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                if str(json.loads(Path(user.read_text("utf-8")).read_text("utf-8")).get("python")).startswith(inside):
                    return True
        return False

    def _remove(self, key: str, used_at: float) -> bool:
        fd = self._try_lock(key)
        if fd is None:
            return False
        try:
            path = self.place(key) / RECORD_NAME
            with contextlib.suppress(OSError):
                if path.stat().st_mtime > used_at:
                    return False
            self.clear(key)
            self._lock_path(key).unlink(missing_ok=True)
        finally:
            os.close(fd)
        return True

    def _remove_abandoned(self, report: Report) -> None:
        for folder in self._folder.iterdir():
            if not folder.is_dir() or (folder / RECORD_NAME).exists():
                continue
            if time.time() - folder.stat().st_mtime > ABANDONED_S and self._remove(folder.name, float("inf")):
                report(f"removed {folder.name}, which was left by a build that did not end")

    def _lock_path(self, key: str) -> Path:
        return self._folder / f"{key}.lock"

    def _lock(self, key: str, report: Report) -> int:
        started_at = time.monotonic()
        is_told = False
        while (fd := self._try_lock(key)) is None:
            if not is_told:
                report("another process builds the same environment; waiting for it")
                is_told = True
            if time.monotonic() - started_at > self._wait_s:
                raise PreparationError(
                    f"another process has been building the environment {key} for more than {self._wait_s:g} s; "
                    f"see who holds {self._lock_path(key)}"
                )
            time.sleep(POLL_S)
        return fd

    def _try_lock(self, key: str) -> int | None:
        while True:
            fd = os.open(self._lock_path(key), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            # Whoever removes an environment removes its lock, too; then this is a lock on nothing.
            try:
                if os.fstat(fd).st_ino == self._lock_path(key).stat().st_ino:
                    return fd
            except FileNotFoundError:
                pass
            os.close(fd)


def _read(path: Path) -> Record | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        return Record(**{**content, "lines": tuple(content["lines"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shown(record: Record) -> str:
    text = ", ".join(record.lines) or "no packages"
    return text if len(text) <= 100 else f"{text[:99]}…"


def _size(folder: Path) -> int:
    """Bytes that a folder takes on disk, links not followed."""
    total = 0
    for place, _, leaves in os.walk(folder):
        for leaf in leaves:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, leaf)).st_blocks * 512
    return total


def _programs(folder: Path) -> list[str]:
    """Returns the programs below `folder` that run on this machine, as their command lines name them."""
    found = []
    prefix = os.fsencode(f"{folder}{os.sep}")
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program = path.read_bytes().partition(b"\0")[0]
        except OSError:
            # It has ended meanwhile.
            continue
        if program.startswith(prefix):
            found.append(os.fsdecode(program))
    return found
