from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from penstock.preparation import build_process
from penstock.preparation.build_process import Finished, build_environ, run_program
from penstock.preparation.errors import PreparationError


def shell(command: str, folder: Path, reported: list[str], timeout_s: float = 20.0) -> Finished:
    return run_program(
        ["/bin/sh", "-c", command], cwd=folder, env=dict(os.environ), timeout_s=timeout_s, report=reported.append
    )


def ends(pid: int) -> bool:
    """Whether a process that was killed is gone, which takes the kernel a moment."""
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in ("Z", "X"):
            return True
    return False


def test_output_is_reported_and_its_end_kept(tmp_path: Path) -> None:
    reported: list[str] = []

    done = shell("echo one; echo two >&2; pwd; exit 3", tmp_path, reported)

    assert reported == ["  one", "  two", f"  {tmp_path}"]
    assert done == Finished(3, ("one", "two", str(tmp_path)))
    assert done.how == "ended with status 3"


def test_of_a_flood_only_the_end_is_kept(tmp_path: Path) -> None:
    done = shell("seq 1 5000", tmp_path, [])

    assert len(done.tail) == build_process.TAIL_LINES
    assert done.tail[-1] == "5000"


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    done = shell("sleep 100 & echo $!; wait", tmp_path, [], timeout_s=0.5)

    assert done.timed_out
    assert done.how == "took too long and was ended"
    assert ends(int(done.tail[0]))


def test_what_a_program_leaves_running_does_not_outlive_it(tmp_path: Path) -> None:
    done = shell("sleep 100 & echo $!", tmp_path, [])

    assert (done.status, done.timed_out) == (0, False)
    assert ends(int(done.tail[0]))


def test_a_program_that_was_killed_says_so(tmp_path: Path) -> None:
    assert shell("kill -9 $$", tmp_path, []).how == "was ended by signal 9"


def test_an_interruption_ends_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    class Interrupted(BaseException):
        pass

    def report(line: str) -> None:
        pids.append(int(line))

    def interrupt(_s: float) -> None:
        if pids:
            raise Interrupted

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(Interrupted):
        run_program(["/bin/sh", "-c", "echo $$; sleep 100"], cwd=tmp_path, env={}, timeout_s=20, report=report)

    assert ends(pids[0])


def test_a_silent_program_is_reported_as_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_process, "HEARTBEAT_S", 0.05)
    reported: list[str] = []

    # It ends when the report has come.
    def report(line: str) -> None:
        reported.append(line)
        (tmp_path / "go").touch()

    command = f"while [ ! -e {tmp_path}/go ]; do :; done"
    run_program(["/bin/sh", "-c", command], cwd=tmp_path, env={}, timeout_s=20, report=report)

    assert "still running" in reported[0]


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="no-such-program cannot be started"):
        run_program(["no-such-program"], cwd=tmp_path, env={}, timeout_s=1, report=lambda _: None)


def test_the_program_holds_the_lock_of_its_build(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    program = f"import os; print(os.fstat({fd}).st_ino)"

    done = run_program(
        [sys.executable, "-c", program], cwd=tmp_path, env={}, timeout_s=20, report=lambda _: None, lock_fd=fd
    )
    os.close(fd)

    assert done.tail == (str((tmp_path / "lock").stat().st_ino),)


def test_a_build_does_not_see_the_environment_penstock_runs_in() -> None:
    env = build_environ({"PYTHONPATH": "/x", "VIRTUAL_ENV": "/y", "PYTHONSAFEPATH": "1", "PIP_INDEX_URL": "u"})

    assert env == {"PIP_INDEX_URL": "u", "PYTHONUNBUFFERED": "1"}


class AskedToEndError(Exception):
    """What the handler of SIGTERM raises here."""


@pytest.fixture
def sigterm_raises() -> Iterator[None]:
    def end(_number: int, _frame: FrameType | None) -> None:
        raise AskedToEndError

    before = signal.signal(signal.SIGTERM, end)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_raises")
def test_an_end_between_the_start_of_a_program_and_the_wait_for_it_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self.pid)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Popen)

    with pytest.raises(AskedToEndError):
        shell("exec sleep 100", tmp_path, [])
    assert not Path(f"/proc/{started[0]}").exists()


@pytest.mark.usefixtures("sigterm_raises")
def test_a_second_end_does_not_interrupt_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def kill_group(pid: int) -> None:
        started.append(pid)
        signal.raise_signal(signal.SIGTERM)
        os.killpg(pid, signal.SIGKILL)

    monkeypatch.setattr(build_process, "_kill_group", kill_group)

    with pytest.raises(AskedToEndError):
        shell("exec sleep 100", tmp_path, [], timeout_s=0.1)
    assert not Path(f"/proc/{started[0]}").exists()
