"""Replicas as processes of this machine.

Each runs in its own session, so that it outlives the controller, with its output in a file. Who it is stands in the run
folder (see process_table) and in its environment (see leftovers), so that the next controller adopts it. GPUs are given
to one replica at a time, and given on when nothing of that replica lives any more.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from penstock.log_files import open_log, rotate
from penstock.process_env import child_environment
from penstock_controller.actuators import leftovers, replica_logs
from penstock_controller.actuators.base import ExitListener, ReplicaExit, ReplicaProcess, ReplicaSpec, StartError
from penstock_controller.actuators.gpu_detection import detect_gpus
from penstock_controller.actuators.gpus import Gpus
from penstock_controller.actuators.process_table import (
    ProcessName,
    RunRecord,
    delete_other_records,
    delete_records,
    open_pidfd,
    read_records,
    read_start_ticks,
    write_spawn_record,
)
from penstock_controller.actuators.runner_start import RUNNER_MODULE, runner_command, runner_environment
from penstock_controller.tasks import TaskSet

POLL_S = 0.1
"""How often a process is looked at where the kernel offers no pidfd."""

LOG_CHECK_S = 2.0
"""How often the sizes of log files are looked at: what a model can write meanwhile comes on top of their bounds."""

SWEEP_S = 0.1
"""Time between two looks for what an ended replica has left."""

SWEEP_SLOW_S = 2.0
"""The same once SWEEPS_FAST looks have not been enough: only the kernel can still hold it, in a driver."""

SWEEPS_FAST = 100

RUNNER_COMMAND = (sys.executable, *RUNNER_MODULE)

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
        # One name however the folder is reached: replicas are recognised by it.
        self._run_dir = state_dir.resolve() / "run"
        self._log_dir = state_dir / "logs"
        self._controller_address = controller_address
        self._lifeline_fd = lifeline_fd
        self._command = tuple(runner_command)
        self._environ = child_environment(os.environ if environ is None else environ)
        self._watched: dict[str, _Watched] = {}
        self._ended_before: set[str] = set()
        """Replicas that left traces, but whose process had ended before this controller started."""
        self._ending: dict[str, int] = {}
        """Replicas whose runner has ended, but what it started may not have: with the id of its session, 0 when that
        is not known."""
        self._sweeper: asyncio.Task[object] | None = None
        self._gpus = Gpus()
        self._without_gpu: set[str] = set()
        """Deployments that were warned that the machine has no GPU."""
        self._tasks = TaskSet()
        self._on_exit: ExitListener = lambda _: None

    async def open(self, on_exit: ExitListener) -> None:
        self._on_exit = on_exit
        for folder in (self._run_dir, self._log_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
        self._gpus = Gpus(await asyncio.to_thread(detect_gpus, self._environ))
        if self._gpus.devices:
            log.info("gpus_found", devices=",".join(self._gpus.devices))
        records = read_records(self._run_dir)
        dead = {r.process.pid: r.replica_id for r in records.values() if not r.process.is_alive()}
        carriers = await asyncio.to_thread(leftovers.find_carriers, self._run_dir, self._log_dir, dead)
        for record in records.values():
            if record.process.is_alive():
                gpus = record.gpus or leftovers.carried_gpus(record.process)
                self._adopt(record.replica_id, record.deployment_id, record.process, gpus)
        for replica_id, found in carriers.items():
            if replica_id not in self._watched:
                self._take_over(replica_id, found, records.get(replica_id))
        self._ended_before = {*records, *carriers} - self._watched.keys()
        delete_other_records(self._run_dir, self._watched.keys() | self._ending.keys())
        self._tasks.start(self._keep_logs_small(), name="keep-logs-small")

    async def ensure(self, spec: ReplicaSpec) -> ReplicaProcess:
        known = self._watched.get(spec.replica_id)
        if known is not None:
            return known.process
        if spec.replica_id in self._ending:
            raise StartError(f"what replica {spec.replica_id} had started has not ended yet")
        gpus = self._gpus.take(spec.replica_id, spec.gpus)
        if spec.gpus and not gpus and spec.deployment_id not in self._without_gpu:
            self._without_gpu.add(spec.deployment_id)
            log.warning("no_gpu_found", deployment=spec.deployment_id, wanted=spec.gpus)
        path = replica_logs.log_file(self._log_dir, spec.replica_id)
        try:
            child = self._spawn(spec, path, gpus)
        except OSError as exc:
            self._gpus.release(spec.replica_id)
            path.unlink(missing_ok=True)
            raise StartError(_not_started(spec, exc)) from exc
        # A child that has already ended is a zombie until we reap it, so its pid still is its own.
        name = ProcessName(child.pid, read_start_ticks(child.pid) or 0)
        try:
            write_spawn_record(self._run_dir, RunRecord(spec.replica_id, spec.deployment_id, name, gpus=gpus))
        except OSError as exc:
            # A replica that the next controller might not find must not live.
            child.kill()
            child.wait()
            self._gpus.release(spec.replica_id)
            raise StartError(f"cannot write to {self._run_dir}: {exc.strerror or exc}") from exc
        process = ReplicaProcess(spec.replica_id, spec.deployment_id, child.pid, time.time(), str(path), gpus)
        self._watch(_Watched(process, name, child))
        return process

    def adopt(self, replica_id: str, deployment_id: str, pid: int, start_ticks: int) -> bool:
        name = ProcessName(pid, start_ticks)
        if replica_id in self._watched:
            return self._watched[replica_id].name == name
        if not pid or not name.is_alive():
            return False
        self._adopt(replica_id, deployment_id, name, leftovers.carried_gpus(name))
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

    def _spawn(self, spec: ReplicaSpec, log_path: Path, gpus: str) -> subprocess.Popen[bytes]:
        command = runner_command(
            self._command,
            spec,
            controller_address=self._controller_address,
            run_dir=self._run_dir,
            lifeline_fd=self._lifeline_fd,
        )
        output = open_log(log_path)
        try:
            return subprocess.Popen(
                command,
                cwd=spec.source,
                env=runner_environment(self._environ, spec, run_dir=self._run_dir, gpus=gpus),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=() if self._lifeline_fd is None else (self._lifeline_fd,),
                start_new_session=True,
            )
        finally:
            os.close(output)

    def _adopt(self, replica_id: str, deployment_id: str, name: ProcessName, gpus: str) -> None:
        path = self.log_path(replica_id)
        process = ReplicaProcess(replica_id, deployment_id, name.pid, _started_wall(name), path, gpus)
        self._gpus.restore(replica_id, gpus)
        self._watch(_Watched(process, name, None))

    def _take_over(self, replica_id: str, carriers: Sequence[leftovers.Carrier], record: RunRecord | None) -> None:
        """Adopts a runner that has no good record, or ends what a dead one has left."""
        runners = sorted((c for c in carriers if c.is_runner), key=lambda carrier: carrier.process.start_ticks)
        if runners:
            # What the model has forked looks the same, but is younger.
            runner = runners[0]
            name = runner.process
            write_spawn_record(self._run_dir, RunRecord(replica_id, runner.deployment_id, name, gpus=runner.gpus))
            self._adopt(replica_id, runner.deployment_id, name, runner.gpus)
        else:
            self._gpus.restore(replica_id, record.gpus if record else carriers[0].gpus)
            self._sweep(replica_id, record.process.pid if record else 0)

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
        watched.gone.set()
        self._sweep(replica_id, watched.name.pid)
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

    def _sweep(self, replica_id: str, session: int) -> None:
        """Ends whatever of a replica outlives its runner; then others may have its GPUs."""
        self._ending[replica_id] = session
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = self._tasks.start(self._sweep_all(), name="sweep-leftovers")

    async def _sweep_all(self) -> None:
        looks: dict[str, int] = {}
        while self._ending:
            ending = dict(self._ending)
            sessions = {session: replica_id for replica_id, session in ending.items() if session}
            found = await asyncio.to_thread(leftovers.find_carriers, self._run_dir, self._log_dir, sessions)
            for replica_id in ending:
                left = [carrier.process for carrier in found.get(replica_id, ())]
                if not left:
                    # Not sooner: should this controller be killed now, the next one sweeps by the record.
                    delete_records(self._run_dir, replica_id)
                    del self._ending[replica_id]
                    self._gpus.release(replica_id)
                    continue
                leftovers.kill(left)
                looks[replica_id] = looks.get(replica_id, 0) + 1
                pids = [process.pid for process in left]
                if looks[replica_id] == 1:
                    log.info("leftovers_killed", replica=replica_id, pids=pids)
                elif looks[replica_id] == SWEEPS_FAST:
                    log.warning("leftovers_remain", replica=replica_id, pids=pids)
            if self._ending:
                is_fast = any(looks.get(replica_id, 0) < SWEEPS_FAST for replica_id in self._ending)
                await asyncio.sleep(SWEEP_S if is_fast else SWEEP_SLOW_S)

    async def _keep_logs_small(self) -> None:
        while True:
            now = time.time()
            await asyncio.to_thread(_keep_small, self._log_dir, frozenset(self._watched), now)
            await asyncio.sleep(LOG_CHECK_S)

    async def list(self) -> Sequence[ReplicaProcess]:
        return [watched.process for watched in self._watched.values()]


def _not_started(spec: ReplicaSpec, error: OSError) -> str:
    if spec.python and not os.path.exists(spec.python):
        return f"its environment is gone ({spec.python}); push or apply it again"
    return f"cannot start a runner in {spec.source}: {error.strerror or error}"


def _keep_small(log_dir: Path, alive: Collection[str], now: float) -> None:
    for replica_id in alive:
        path = replica_logs.log_file(log_dir, replica_id)
        try:
            rotate(path)
        except OSError as exc:
            log.warning("log_not_rotated", path=str(path), error=exc.strerror)
    try:
        replica_logs.prune(log_dir, alive, now)
    except OSError as exc:
        log.warning("logs_not_pruned", path=str(log_dir), error=exc.strerror)


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
