"""Replicas as processes of this machine.

Each runs in its own session, so that it outlives the controller, with its output in a file. Who it is stands in the run
folder (see process_table), so that the next controller adopts it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from penstock.log_files import open_log, rotate
from penstock.process_env import child_environment
from penstock_controller.actuators import replica_logs
from penstock_controller.actuators.base import ExitListener, ReplicaExit, ReplicaProcess, ReplicaSpec, StartError
from penstock_controller.actuators.process_table import (
    ProcessName,
    RunRecord,
    delete_records,
    open_pidfd,
    read_records,
    read_start_ticks,
    write_spawn_record,
)
from penstock_controller.tasks import TaskSet

POLL_S = 0.1
"""How often a process is looked at where the kernel offers no pidfd."""

LOG_CHECK_S = 10.0
"""How often the sizes of log files are looked at."""

RUNNER_COMMAND = (sys.executable, "-P", "-m", "penstock_runner")

log = structlog.get_logger("controller")


@dataclass(slots=True, eq=False)
class _Watched:
    process: ReplicaProcess
    name: ProcessName
    child: subprocess.Popen[bytes] | None
    """None for an adopted process, whose exit status only its own parent learns."""
    pidfd: int | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class LocalActuator:
    """Starts, watches and ends runner processes on this machine."""

    name = "local"

    def __init__(
        self,
        state_dir: Path,
        *,
        controller_address: str,
        lifeline_fd: int | None = None,
        runner_command: Sequence[str] = RUNNER_COMMAND,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._run_dir = state_dir / "run"
        self._log_dir = state_dir / "logs"
        self._controller_address = controller_address
        self._lifeline_fd = lifeline_fd
        self._command = tuple(runner_command)
        self._environ = child_environment(os.environ if environ is None else environ)
        self._watched: dict[str, _Watched] = {}
        self._ended_before: set[str] = set()
        """Replicas with a record whose process had ended before this controller started."""
        self._tasks = TaskSet()
        self._on_exit: ExitListener = lambda _: None

    async def open(self, on_exit: ExitListener) -> None:
        self._on_exit = on_exit
        for folder in (self._run_dir, self._log_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
        for record in read_records(self._run_dir).values():
            if record.process.is_alive():
                self.adopt(record.replica_id, record.deployment_id, record.process.pid, record.process.start_ticks)
            else:
                self._ended_before.add(record.replica_id)
                delete_records(self._run_dir, record.replica_id)
        self._tasks.start(self._keep_logs_small(), name="keep-logs-small")

    async def ensure(self, spec: ReplicaSpec) -> ReplicaProcess:
        known = self._watched.get(spec.replica_id)
        if known is not None:
            return known.process
        path = replica_logs.log_file(self._log_dir, spec.replica_id)
        replica_logs.prune(self._log_dir, spec.deployment_id, self._watched.keys())
        rotate(path)
        try:
            child = self._spawn(spec, path)
        except OSError as exc:
            raise StartError(f"cannot start a runner in {spec.source}: {exc.strerror or exc}") from exc
        # A child that has already ended is a zombie until we reap it, so its pid still is its own.
        name = ProcessName(child.pid, read_start_ticks(child.pid) or 0)
        write_spawn_record(self._run_dir, RunRecord(spec.replica_id, spec.deployment_id, name))
        process = ReplicaProcess(spec.replica_id, spec.deployment_id, child.pid, time.time(), str(path))
        self._watch(_Watched(process, name, child))
        return process

    def adopt(self, replica_id: str, deployment_id: str, pid: int, start_ticks: int) -> bool:
        name = ProcessName(pid, start_ticks)
        if replica_id in self._watched:
            return self._watched[replica_id].name == name
        if not pid or not name.is_alive():
            return False
        process = ReplicaProcess(replica_id, deployment_id, pid, _started_wall(name), self.log_path(replica_id))
        self._watch(_Watched(process, name, None))
        return True

    async def stop(self, replica_id: str, *, grace_s: float) -> None:
        watched = self._watched.get(replica_id)
        if watched is None:
            return
        self._signal(watched, signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await watched.gone.wait()
                return
        except TimeoutError:
            log.warning("replica_killed", replica=replica_id, grace_s=grace_s)
        self._signal(watched, signal.SIGKILL)
        await watched.gone.wait()

    async def may_have_started(self, replica_id: str) -> bool:
        return replica_id not in self._watched and replica_id not in self._ended_before

    def log_path(self, replica_id: str) -> str:
        return str(replica_logs.log_file(self._log_dir, replica_id))

    def check(self, replica_id: str) -> None:
        watched = self._watched.get(replica_id)
        if watched is not None and not watched.name.is_alive():
            self._ended(watched)

    async def close(self) -> None:
        for watched in self._watched.values():
            self._unwatch(watched)
            if watched.child is not None:
                # It lives on, and is meant to: Popen warns about a child that is dropped without an exit status.
                watched.child.returncode = 0
        self._watched.clear()
        await self._tasks.cancel()

    def _spawn(self, spec: ReplicaSpec, log_path: Path) -> subprocess.Popen[bytes]:
        command = [
            *self._command,
            *("--model-dir", spec.source),
            *("--replica-id", spec.replica_id),
            *("--deployment-id", spec.deployment_id),
            *("--deployment-name", spec.deployment_name),
            *("--controller", self._controller_address),
            *("--run-file", str(self._run_dir / f"{spec.replica_id}.json")),
        ]
        if spec.environment:
            command += ["--environment", spec.environment]
        inherited: tuple[int, ...] = ()
        if self._lifeline_fd is not None:
            command += ["--lifeline-fd", str(self._lifeline_fd)]
            inherited = (self._lifeline_fd,)
        output = open_log(log_path)
        try:
            return subprocess.Popen(
                command,
                cwd=spec.source,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                start_new_session=True,
            )
        finally:
            os.close(output)

    def _watch(self, watched: _Watched) -> None:
        self._watched[watched.process.replica_id] = watched
        try:
            watched.pidfd = open_pidfd(watched.name)
        except OSError as exc:
            log.warning("pidfd_unavailable", replica=watched.process.replica_id, error=exc.strerror)
            self._tasks.start(self._poll(watched), name=f"poll-{watched.process.replica_id}")
            return
        if watched.pidfd is None:
            # It has ended already. Told from a task, not from here: the caller does not yet know that it was started.
            self._tasks.start(self._poll(watched), name=f"poll-{watched.process.replica_id}")
        else:
            asyncio.get_running_loop().add_reader(watched.pidfd, self._ended, watched)

    def _unwatch(self, watched: _Watched) -> None:
        if watched.pidfd is not None:
            asyncio.get_running_loop().remove_reader(watched.pidfd)
            os.close(watched.pidfd)
            watched.pidfd = None

    async def _poll(self, watched: _Watched) -> None:
        await asyncio.sleep(0)
        while not watched.gone.is_set():
            if not watched.name.is_alive():
                self._ended(watched)
            await asyncio.sleep(POLL_S)

    def _ended(self, watched: _Watched) -> None:
        replica_id = watched.process.replica_id
        if self._watched.get(replica_id) is not watched:
            return
        status = None
        if watched.child is not None:
            # What the model has started must not outlive its runner (it may hold the GPU). While the runner is not
            # reaped its pid, which is also the id of its group, cannot belong to anyone else.
            _kill_group(watched.name.pid)
            status = watched.child.poll()
            if status is None:
                return
        elif read_start_ticks(watched.name.pid) is None:
            _kill_group(watched.name.pid)
        self._unwatch(watched)
        del self._watched[replica_id]
        delete_records(self._run_dir, replica_id)
        watched.gone.set()
        output = replica_logs.tail(replica_logs.log_file(self._log_dir, replica_id))
        self._on_exit(ReplicaExit(replica_id, status, output))

    def _signal(self, watched: _Watched, number: signal.Signals) -> None:
        try:
            if watched.pidfd is not None:
                signal.pidfd_send_signal(watched.pidfd, number)
            elif watched.name.is_alive():
                os.kill(watched.name.pid, number)
        except ProcessLookupError:
            # It ended a moment ago; the watcher tells.
            pass

    async def _keep_logs_small(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            paths = [replica_logs.log_file(self._log_dir, replica_id) for replica_id in self._watched]
            await asyncio.to_thread(_rotate_all, paths)

    async def list(self) -> Sequence[ReplicaProcess]:
        return [watched.process for watched in self._watched.values()]


def _rotate_all(paths: Sequence[Path]) -> None:
    for path in paths:
        try:
            rotate(path)
        except OSError as exc:
            log.warning("log_not_rotated", path=str(path), error=exc.strerror)


def _kill_group(group_id: int) -> None:
    try:
        os.killpg(group_id, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing is left of it, or only a zombie.
        pass


def _started_wall(process: ProcessName) -> float:
    """Returns when the process started, to a tick."""
    uptime = float(Path("/proc/uptime").read_text("ascii").split()[0])
    return time.time() - uptime + process.start_ticks / os.sysconf("SC_CLK_TCK")
