"""Starting, finding and ending the processes of a benchmark, always by pid."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class StartError(Exception):
    """A target could not be started; the text says what to do."""


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Raises StartError when `holds` stays false for that long."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def free_port() -> int:
    """A port that was free a moment ago, for programs that cannot pick one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _parent_and_command(pid: int) -> tuple[int, str] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1]), command


def process_tree(root: int) -> dict[int, str]:
    """`root` and everything below it that is alive: pid -> command line."""
    everything = {
        int(entry): found
        for entry in os.listdir("/proc")
        if entry.isdigit() and (found := _parent_and_command(int(entry))) is not None
    }
    tree: dict[int, str] = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in everything and pid not in tree:
            tree[pid] = everything[pid][1]
            waiting.extend(child for child, (parent, _) in everything.items() if parent == pid)
    return tree


class Child:
    """A process that is ended with everything it started, at the latest `grace_s` after `stop`."""

    def __init__(
        self, command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Like wait_until; ends early when the process has ended, and then shows the end of its log."""

        def ready() -> bool:
            if self._process.poll() is not None:
                tail = self._log.read_text(errors="replace")[-2000:]
                raise StartError(f"{what}: the process ended with status {self._process.returncode}\n{tail}")
            return holds()

        wait_until(ready, what, seconds)

    def stop(self, sign: int = signal.SIGTERM, grace_s: float = 5.0) -> None:
        family = process_tree(self.pid)
        if self._process.poll() is None:
            self._process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        for pid, command in family.items():
            found = _parent_and_command(pid)
            if pid != self.pid and (found is None or found[1] != command):
                continue  # ended, or the number is somebody else's by now
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
