"""Processes that are not our children (runners are the controller's): whether they live, and ending them for sure."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process for good: a pid alone may name another one later."""

    pid: int
    start_ticks: int
    """Start time in clock ticks since boot (field 22 of /proc/PID/stat); 0 when not known."""


def identify(pid: int) -> ProcessIdentity | None:
    """Returns the identity of the live process `pid`; None when there is none. A zombie is not alive."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    # The name, field 2, stands in parentheses and may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return ProcessIdentity(pid, int(fields[19]))


def is_alive(process: ProcessIdentity) -> bool:
    """Whether this very process still runs."""
    return identify(process.pid) == process


def kill(process: ProcessIdentity) -> None:
    """Kills this very process, if it still runs, and its process group, if it leads one."""
    if not is_alive(process):
        return
    try:
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        # It ended between the two calls.
        pass
