"""What this process can tell of itself from /proc; 0 where the system does not say."""

from __future__ import annotations

import os


def start_ticks(pid: int) -> int:
    """Returns when process `pid` started, in clock ticks since boot (field 22 of /proc/PID/stat)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            # The second field is the command in parentheses and may hold spaces and parentheses itself.
            return int(stat.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def resident_bytes() -> int:
    """Returns the resident memory of this process."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
