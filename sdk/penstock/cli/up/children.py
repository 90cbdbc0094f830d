"""The child processes of `penstock up`: started, started again when they die, and ended."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from penstock.cli.up.host_port import HostPort
from penstock.cli.up.log_tail import last_lines
from penstock.cli.up.restart_policy import restart_delay
from penstock.log_files import open_log, rotate

LOG_LINES_SHOWN = 20
"""Last lines of a child's log in the error that tells of its end."""


class ChildError(Exception):
    """A child cannot be kept running; the message is for people."""


def controller_command(state_dir: Path, lifeline_fd: int) -> list[str]:
    """Returns the command line of the controller."""
    return [
        *_python("penstock_controller"),
        "serve",
        f"--state-dir={state_dir}",
        f"--lifeline-fd={lifeline_fd}",
    ]


def edge_command(
    listen: HostPort, grpc_listen: HostPort | None, controller: str, drain_timeout_s: float, lifeline_fd: int
) -> list[str]:
    """Returns the command line of the edge."""
    return [
        *_python("penstock_edge"),
        f"--listen={listen}",
        f"--grpc-listen={grpc_listen or 'off'}",
        f"--controller={controller}",
        f"--drain-timeout={drain_timeout_s:g}",
        f"--lifeline-fd={lifeline_fd}",
        "--log-format=json",
        "--insecure",  # the options of `up` have been checked for it
    ]


def _python(module: str) -> list[str]:
    # -P: the working folder is the user's, and must not be where our modules are looked for.
    return [sys.executable, "-P", "-m", module]


class Child:
    """One supervised process.

    It gets a session of its own, so that Ctrl-C on the terminal reaches only `penstock up`.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], Sequence[str]],
        *,
        log_path: Path,
        lifeline_fd: int,
        env: Mapping[str, str],
        on_note: Callable[[str], None],
    ) -> None:
        """`command` is asked at every start, since addresses may be known only after the first one."""
        self.name = name
        self.log_path = log_path
        self._command = command
        self._lifeline_fd = lifeline_fd
        self._env = env
        self._on_note = on_note
        self._process: asyncio.subprocess.Process | None = None
        self._log_offset = 0
        self._deaths: list[float] = []
        self._was_healthy = False
        self._log_problem: str | None = None

    @property
    def pid(self) -> int:
        """0 before the first start."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def mark_healthy(self) -> None:
        """It has served once: from now on a death is answered by a new start."""
        self._was_healthy = True

    async def start(self) -> None:
        """Starts the process.

        Raises:
            ChildError: the system cannot start it.
        """
        self.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = open_log(self.log_path)
        try:
            self._log_offset = os.fstat(fd).st_size
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=fd,
                stderr=fd,
                pass_fds=(self._lifeline_fd,),
                start_new_session=True,
                env=dict(self._env),
            )
        except OSError as exc:
            raise ChildError(f"the {self.name} cannot be started: {exc}") from exc
        finally:
            os.close(fd)

    async def keep_running(self) -> None:
        """Starts the process again whenever it dies. Cancel this before the process is ended.

        Raises:
            ChildError: it died before it was healthy once, or too often.
        """
        while True:
            assert self._process is not None, "start() comes first"
            status = await self._process.wait()
            now = time.monotonic()
            self._deaths.append(now)
            delay = restart_delay(self._deaths, now) if self._was_healthy else None
            if delay is None:
                raise ChildError(self._obituary(status))
            self._on_note(f"the {self.name} {_ended(status)}; it starts again in {delay:.1f} s")
            await asyncio.sleep(delay)
            await self.start()

    async def bound_log(self) -> None:
        """Puts its log aside when that has grown too big."""
        try:
            was_too_big = await asyncio.to_thread(rotate, self.log_path)
        except OSError as exc:
            problem = exc.strerror or str(exc)
            if problem != self._log_problem:
                self._on_note(f"the log of the {self.name} cannot be put aside, and grows: {problem}: {self.log_path}")
            self._log_problem = problem
            return
        self._log_problem = None
        if was_too_big:
            self._log_offset = 0

    def terminate(self) -> None:
        """Asks the process to end (SIGTERM)."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def wait_ended(self, timeout_s: float) -> bool:
        """Waits until the process has ended; returns False when it has not in time."""
        if self._process is None:
            return True
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _obituary(self, status: int) -> str:
        lines = last_lines(self.log_path, self._log_offset, LOG_LINES_SHOWN)
        text = f"the {self.name} {_ended(status)}"
        if self._was_healthy:
            text += f", {len(self._deaths)} times in all; it is not started again"
        output = "".join(f"\n  {line}" for line in lines)
        return f"{text}{':' if output else ''}{output}\n  Its log: {self.log_path}"


def _ended(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
