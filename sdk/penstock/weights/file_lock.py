"""A lock between processes that ends with its process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from penstock.weights.errors import Stopped, WeightsError

POLL_S = 0.1
SAY_EVERY_S = 15.0
WAIT_MAX_S = 6 * 3600.0
"""A download of another process that takes longer than this is not waited for."""


@contextmanager
def locked(
    path: Path,
    *,
    stop: Event,
    on_wait: Callable[[], None] = lambda: None,
    wait_max_s: float = WAIT_MAX_S,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Holds the lock of the file `path`; waits for it as long as `wait_max_s`, calling `on_wait` now and then.

    Threads of one process exclude one another, too.

    Raises:
        WeightsError: it was not to be had in time.
        Stopped: `stop` was set while waiting.
    """
    began = clock()
    said_at: float | None = None
    while (fd := _take(path)) is None:
        now = clock()
        if now - began >= wait_max_s:
            raise WeightsError("", f"another process has held {path} for {round(now - began)} s")
        if said_at is None or now - said_at >= SAY_EVERY_S:
            on_wait()
            said_at = now
        if stop.wait(POLL_S):
            raise Stopped
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def tried(path: Path) -> Iterator[bool]:
    """Holds the lock of `path` if it is free; gives whether it is held."""
    fd = _take(path)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def _take(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A holder may have removed the file before it let go: a lock of a removed file excludes nobody.
        if os.fstat(fd).st_ino == os.stat(path).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None
