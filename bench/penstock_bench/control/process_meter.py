"""CPU time and memory of a process, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Meter:
    """A process at one moment."""

    cpu_s: float
    """User and system time since it started."""
    resident_mib: float
    threads: int


def read_meter(pid: int) -> Meter:
    """Raises OSError when the process is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # Fields 14, 15, 20 and 24 of proc(5); the first two stand before the ")".
    user, system, threads, pages = (int(fields[number - 3]) for number in (14, 15, 20, 24))
    return Meter((user + system) * _TICK_S, pages * _PAGE_BYTES / 2**20, threads)


def machine_cpu_s() -> float:
    """CPU time that all processes of the machine have used."""
    user, nice, system, _idle, _wait, *rest = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    return (user + nice + system + sum(rest[:2])) * _TICK_S
