from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from penstock.weights.errors import Stopped, WeightsError
from penstock.weights.file_lock import locked, tried

HOLD = """
import sys
from pathlib import Path
from threading import Event
from penstock.weights.file_lock import locked
with locked(Path(sys.argv[1]), stop=Event()):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_excludes_others_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with locked(path, stop=threading.Event()), tried(path) as taken:
        assert not taken
    with tried(path) as taken:
        assert taken


def test_another_process_is_waited_for_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    said: list[str] = []

    def on_wait() -> None:
        said.append("waiting")
        holder.kill()

    with locked(path, stop=threading.Event(), on_wait=on_wait):
        assert said == ["waiting"]

    holder.wait(10)
    holder.stdin.close()
    holder.stdout.close()


def test_waiting_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    now = iter(range(0, 1000, 10))

    with (
        locked(path, stop=threading.Event()),
        pytest.raises(WeightsError, match="another process has held"),
        locked(path, stop=threading.Event(), wait_max_s=25, clock=lambda: float(next(now))),
    ):
        pass


def test_a_stop_ends_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    stop = threading.Event()
    stop.set()

    with locked(path, stop=threading.Event()), pytest.raises(Stopped), locked(path, stop=stop):
        pass


def test_a_lock_of_a_removed_file_excludes_nobody_and_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last holder removes the file between the opening and the locking of the next one."""
    path = tmp_path / "lock"
    flock = fcntl.flock

    def flock_too_late(fd: int, operation: int) -> None:
        path.unlink()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock_too_late)

    with tried(path) as taken:
        assert not taken
