"""Runs one program of a build: with its output as lines, a time limit, and nothing of it left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from penstock.preparation.deferred_signals import deferred_signals
from penstock.preparation.errors import PreparationError
from penstock.preparation.output_lines import OutputLines

Report = Callable[[str], None]
"""Takes one line of progress, for people."""

TAIL_LINES = 200
"""Last lines that are kept for an error."""
HEARTBEAT_S = 15.0
"""A program that says nothing for so long is reported as still running."""
POLL_S = 0.02
READER_GRACE_S = 5.0
"""Time to read what an ended program has left in the pipe."""


@dataclass(frozen=True, slots=True)
class Finished:
    status: int
    """Exit status; negative for the number of a signal."""
    tail: tuple[str, ...]
    """The last lines of its output."""
    timed_out: bool = False

    @property
    def how(self) -> str:
        """Says how it ended, for a sentence."""
        if self.timed_out:
            return "took too long and was ended"
        if self.status < 0:
            return f"was ended by signal {-self.status}"
        return f"ended with status {self.status}"


def build_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns `environ` for installers and build commands: without what would lead them to another environment."""
    left_out = {"PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    env = {name: value for name, value in environ.items() if name not in left_out}
    env["PYTHONUNBUFFERED"] = "1"
    return env


def run_program(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout_s: float,
    report: Report,
    lock_fd: int | None = None,
) -> Finished:
    """Runs `argv` and waits for it. Whatever it has started in its process group is killed when this returns or raises.

    Args:
        lock_fd: A lock that the program holds, too: should this process be killed, nobody takes the lock while the
            program still writes.

    Raises:
        PreparationError: It cannot be started.
    """
    started_at = told_at = time.monotonic()
    process: subprocess.Popen[bytes] | None = None
    output: _Output | None = None
    timed_out = False
    try:
        with deferred_signals():
            process = _started(argv, cwd, env, lock_fd)
            output = _Output(process, report)
        while not _has_ended(process.pid):
            now = time.monotonic()
            if now - started_at >= timeout_s:
                timed_out = True
                break
            if now - max(output.heard_at, told_at) >= HEARTBEAT_S:
                told_at = now
                report(f"  … still running after {now - started_at:.0f} s")
            time.sleep(POLL_S)
    finally:
        with deferred_signals():
            if process is not None:
                _kill_group(process.pid)
                process.wait()
            if output is not None:
                output.finish()
    return Finished(process.returncode, tuple(output.tail), timed_out)


def _started(argv: Sequence[str], cwd: Path, env: Mapping[str, str], lock_fd: int | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=() if lock_fd is None else (lock_fd,),
        )
    except OSError as exc:
        raise PreparationError(f"{argv[0]} cannot be started: {exc.strerror or exc}") from None


def _has_ended(pid: int) -> bool:
    # It is not waited for yet: as long as it is a zombie, no other process can have its number, which is the group's.
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        # Nothing of it is left.
        pass


class _Output:
    """Reads a program's output in a thread, so that the time limit holds while it is silent."""

    def __init__(self, process: subprocess.Popen[bytes], report: Report) -> None:
        assert process.stdout is not None, "it is started with a pipe"
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.heard_at = time.monotonic()
        self._pipe: IO[bytes] = process.stdout
        self._report = report
        self._thread = threading.Thread(target=self._read, name="build output", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        # A program that has left its process group may keep the pipe open for good.
        self._thread.join(READER_GRACE_S)
        if not self._thread.is_alive():
            self._pipe.close()

    def _read(self) -> None:
        lines = OutputLines()
        while data := os.read(self._pipe.fileno(), 65536):
            self.heard_at = time.monotonic()
            self._take(lines.feed(data, self.heard_at))
        self._take(lines.end())

    def _take(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.tail.append(line)
            self._report(f"  {line}")
