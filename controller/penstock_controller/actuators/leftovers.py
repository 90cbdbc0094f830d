"""Finds the processes of replicas by what they carry, and ends those that a dead runner has left.

Every replica has PENSTOCK_RUN_DIR and PENSTOCK_REPLICA_ID in its environment from before its first instruction, and
hands them down to whatever its model starts. So a runner is found even when the controller was killed before it could
note its pid, and what a model has started even when its runner is gone. A model that starts a process with an empty
environment is recognised by the session of its runner together with the log file that it writes to.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.process_env import DEPLOYMENT_VARIABLE, REPLICA_GPUS_VARIABLE, REPLICA_VARIABLE, RUN_DIR_VARIABLE
from penstock_controller.actuators.process_table import ProcessName, open_pidfd, read_start_ticks

ENVIRONMENT_BYTES_MAX = 8 * 1024 * 1024
"""More than any environment has (execve allows a quarter of the stack, 2 MiB by default)."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A live process that belongs to a replica."""

    process: ProcessName
    replica_id: str
    deployment_id: str
    gpus: str
    is_runner: bool
    """It is the process that the controller has started, and not one that the model has."""


def find_carriers(run_dir: Path, log_dir: Path, sessions: Mapping[int, str]) -> dict[str, list[Carrier]]:
    """Returns the live processes of every replica that was started from `run_dir`. Reads all of /proc.

    Args:
        sessions: replicas by the pid of a runner that is gone, which is the id of its session.
    """
    found: dict[str, list[Carrier]] = {}
    marker = os.fsencode(f"{RUN_DIR_VARIABLE}={run_dir}")
    own_pid = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == own_pid:
            continue
        carrier = _look_at(int(name), marker, log_dir, sessions)
        if carrier is not None:
            found.setdefault(carrier.replica_id, []).append(carrier)
    return found


def carried_gpus(process: ProcessName) -> str:
    """Returns the GPUs that a runner was started with; empty when it has none, or cannot be asked."""
    return _environment(process.pid).get(REPLICA_GPUS_VARIABLE, "") if process.is_alive() else ""


def kill(processes: Iterable[ProcessName]) -> None:
    """Ends these very processes at once; those that are gone, or not ours, are passed over."""
    for process in processes:
        try:
            fd = open_pidfd(process)
        except OSError:
            if process.is_alive():
                _kill_by_pid(process.pid)
            continue
        if fd is None:
            continue
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        finally:
            os.close(fd)


def _look_at(pid: int, marker: bytes, log_dir: Path, sessions: Mapping[int, str]) -> Carrier | None:
    ticks = read_start_ticks(pid)
    if ticks is None:
        return None
    process = ProcessName(pid, ticks)
    environment = _environment(pid, marker)
    try:
        session = os.getsid(pid)
    except OSError:
        return None
    replica_id = environment.get(REPLICA_VARIABLE, "")
    if not replica_id:
        replica_id = sessions.get(session, "")
        if not replica_id or not _writes_to(pid, log_dir / f"{replica_id}.log"):
            return None
    # After everything was read: all of it was of this very process, and not of a later one with its pid.
    if not process.is_alive():
        return None
    is_runner = session == pid and ["--replica-id", replica_id] in _pairs(_command(pid))
    return Carrier(
        process,
        replica_id,
        environment.get(DEPLOYMENT_VARIABLE, ""),
        environment.get(REPLICA_GPUS_VARIABLE, ""),
        is_runner,
    )


def _environment(pid: int, marker: bytes | None = None) -> dict[str, str]:
    """Returns the environment a process was started with; empty when it lacks `marker`, or the process is not ours."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read(ENVIRONMENT_BYTES_MAX).split(b"\0")
    except OSError:
        return {}
    if marker is not None and marker not in entries:
        return {}
    pairs = (entry.partition(b"=") for entry in entries)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def _command(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [os.fsdecode(argument) for argument in file.read(ENVIRONMENT_BYTES_MAX).split(b"\0")]
    except OSError:
        return []


def _pairs(arguments: list[str]) -> list[list[str]]:
    return [arguments[index : index + 2] for index in range(len(arguments) - 1)]


def _writes_to(pid: int, path: Path) -> bool:
    """Tells whether standard output or error of a process is this file."""
    try:
        wanted = path.stat()
    except OSError:
        return False
    for fd in (1, 2):
        try:
            found = os.stat(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def _kill_by_pid(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
