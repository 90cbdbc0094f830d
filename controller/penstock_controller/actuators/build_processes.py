"""Builds as processes of this machine.

Each runs in its own session with its output in a file, outlives the controller, and is adopted by the next one: its
process and its result stand in STATE/builds. The result stays as long as the deployment: it tells the cache what is
still in use (see penstock.preparation).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from penstock.log_files import open_log, rotate
from penstock.process_env import child_environment
from penstock.state_dir import write_atomically
from penstock.weights import release
from penstock_controller.actuators.builds import BuildEnd, BuildListener, BuildSpec
from penstock_controller.actuators.process_table import ProcessName, read_start_ticks
from penstock_controller.actuators.replica_logs import tail
from penstock_controller.build_result import judge_build
from penstock_controller.log_origins import build_log_name
from penstock_controller.tasks import TaskSet

POLL_S = 0.1
"""How often a build is looked at."""

BUILD_S_MAX = 2 * 3600.0
"""Longest time of a build; weights of hundreds of GiB are fetched in it."""

STOP_GRACE_S = 5.0
"""Time between SIGTERM and SIGKILL."""

LOG_CHECK_S = 2.0
"""How often the size of its log is looked at."""

BUILD_COMMAND = (sys.executable, "-P", "-m", "penstock.preparation")

log = structlog.get_logger("controller")


@dataclass(slots=True, eq=False)
class _Build:
    deployment_id: str
    name: ProcessName
    child: subprocess.Popen[bytes] | None
    """None for an adopted process, whose exit status only its own parent learns."""
    began_at: float
    stop_at: float | None = None
    """When it gets SIGKILL; None while nobody asked it to end."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    is_too_long: bool = False


class LocalBuilds:
    """Starts, watches and ends builds on this machine."""

    def __init__(
        self,
        state_dir: Path,
        clock: Callable[[], float],
        *,
        lifeline_fd: int | None = None,
        command: Sequence[str] = BUILD_COMMAND,
        environ: Mapping[str, str] | None = None,
        build_s_max: float = BUILD_S_MAX,
    ) -> None:
        self._folder = state_dir / "builds"
        self._log_dir = state_dir / "logs"
        self._cache_dir = state_dir / "cache"
        self._clock = clock
        self._lifeline_fd = lifeline_fd
        self._command = tuple(command)
        self._environ = child_environment(os.environ if environ is None else environ)
        self._build_s_max = build_s_max
        self._builds: dict[str, _Build] = {}
        self._tasks = TaskSet()
        self._on_end: BuildListener = lambda _: None

    async def open(self, on_end: BuildListener) -> None:
        self._on_end = on_end
        for folder in (self._folder, self._log_dir, self._cache_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
        for path in sorted(self._folder.glob("*.process.json")):
            deployment_id = path.name.removesuffix(".process.json")
            name = _read_name(path)
            if name is not None and name.is_alive():
                self._watch(_Build(deployment_id, name, None, self._clock()))
            else:
                self._tell(deployment_id, None)

    def running(self) -> Collection[str]:
        return frozenset(self._builds)

    def start(self, spec: BuildSpec) -> None:
        deployment_id = spec.deployment_id
        if deployment_id in self._builds:
            return
        # Those of an earlier build would pass for this one's.
        self._result_file(deployment_id).unlink(missing_ok=True)
        (self._log_dir / build_log_name(deployment_id)).unlink(missing_ok=True)
        try:
            child = self._spawn(spec)
        except OSError as exc:
            self._on_end(BuildEnd(deployment_id, error=f"the build cannot be started: {exc.strerror or exc}"))
            return
        name = ProcessName(child.pid, read_start_ticks(child.pid) or 0)
        content = {"pid": name.pid, "pid_start_ticks": name.start_ticks}
        try:
            write_atomically(self._process_file(deployment_id), json.dumps(content) + "\n")
        except OSError as exc:
            # A build that the next controller might not find must not live.
            child.kill()
            child.wait()
            self._on_end(BuildEnd(deployment_id, error=f"cannot write to {self._folder}: {exc.strerror}"))
            return
        self._watch(_Build(deployment_id, name, child, self._clock()))

    def stop(self, deployment_id: str) -> None:
        build = self._builds.get(deployment_id)
        if build is not None and build.stop_at is None:
            build.stop_at = self._clock() + STOP_GRACE_S
            _signal_group(build.name, signal.SIGTERM)
            build.stopped.set()

    def forget(self, deployment_id: str, source: str | None) -> None:
        self.stop(deployment_id)
        if source is not None:
            # The lock of the cache may be held by a build.
            self._tasks.start(
                asyncio.to_thread(release, self._cache_dir, Path(source)), name=f"release-{deployment_id}"
            )
        for path in (self._result_file(deployment_id), *self._log_dir.glob(f"{build_log_name(deployment_id)}*")):
            path.unlink(missing_ok=True)

    async def close(self) -> None:
        for build in self._builds.values():
            if build.child is not None:
                # It lives on, and is meant to: Popen warns about a child that is dropped without an exit status.
                build.child.returncode = 0
        self._builds.clear()
        await self._tasks.cancel()

    # Inside.

    def _spawn(self, spec: BuildSpec) -> subprocess.Popen[bytes]:
        lifeline = [] if self._lifeline_fd is None else ["--lifeline-fd", str(self._lifeline_fd)]
        output = open_log(self._log_dir / build_log_name(spec.deployment_id))
        try:
            return subprocess.Popen(
                [
                    *(*self._command, *lifeline),
                    *("--model-dir", spec.source),
                    *("--cache-dir", str(self._cache_dir)),
                    *("--result", str(self._result_file(spec.deployment_id))),
                ],
                cwd=spec.source,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=() if self._lifeline_fd is None else (self._lifeline_fd,),
                start_new_session=True,
            )
        finally:
            os.close(output)

    def _watch(self, build: _Build) -> None:
        self._builds[build.deployment_id] = build
        self._tasks.start(self._run(build), name=f"build-{build.deployment_id}")

    async def _run(self, build: _Build) -> None:
        log_path = self._log_dir / build_log_name(build.deployment_id)
        log_checked_at = self._clock()
        while build.name.is_alive():
            now = self._clock()
            if build.stop_at is not None and now >= build.stop_at:
                _signal_group(build.name, signal.SIGKILL)
            elif build.stop_at is None and now - build.began_at > self._build_s_max:
                build.is_too_long = True
                self.stop(build.deployment_id)
            if now - log_checked_at >= LOG_CHECK_S:
                log_checked_at = now
                await asyncio.to_thread(_keep_small, log_path)
            await asyncio.sleep(POLL_S)
        status = None
        if build.child is not None:
            # What it has started must not outlive it. While it is not reaped its pid cannot belong to anyone else.
            _kill_group(build.name.pid)
            status = build.child.wait()
        del self._builds[build.deployment_id]
        if build.is_too_long:
            self._process_file(build.deployment_id).unlink(missing_ok=True)
            limit = f"{self._build_s_max:g} s"
            self._on_end(BuildEnd(build.deployment_id, error=f"the build took longer than {limit} and was ended"))
        elif build.stop_at is not None:
            self._process_file(build.deployment_id).unlink(missing_ok=True)
            self._on_end(BuildEnd(build.deployment_id, was_cut=True))
        else:
            self._tell(build.deployment_id, status)

    def _tell(self, deployment_id: str, status: int | None) -> None:
        """A build has ended by itself, now or while no controller was there."""
        try:
            result = self._result_file(deployment_id).read_text("utf-8")
        except OSError:
            result = None
        self._process_file(deployment_id).unlink(missing_ok=True)
        output = tail(self._log_dir / build_log_name(deployment_id))
        self._on_end(judge_build(deployment_id, status=status, result=result, output_tail=output))

    def _process_file(self, deployment_id: str) -> Path:
        return self._folder / f"{deployment_id}.process.json"

    def _result_file(self, deployment_id: str) -> Path:
        return self._folder / f"{deployment_id}.result.json"


def _read_name(path: Path) -> ProcessName | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        return ProcessName(int(content["pid"]), int(content["pid_start_ticks"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep_small(path: Path) -> None:
    try:
        rotate(path)
    except OSError as exc:
        log.warning("log_not_rotated", path=str(path), error=exc.strerror)


def _signal_group(name: ProcessName, number: signal.Signals) -> None:
    if name.is_alive():
        try:
            os.killpg(name.pid, number)
        except (ProcessLookupError, PermissionError):
            # It ended a moment ago.
            pass


def _kill_group(group_id: int) -> None:
    try:
        os.killpg(group_id, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing is left of it, or only a zombie.
        pass
