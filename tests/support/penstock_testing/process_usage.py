"""What a process of this machine holds, from /proc."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory in bytes."""

    resident: int
    descriptors: int
    threads: int


def usage(pid: int) -> Usage:
    """What the process holds now."""
    return Usage(_status(pid, "VmRSS") * 1024, len(os.listdir(f"/proc/{pid}/fd")), _status(pid, "Threads"))


def peak_resident(pid: int) -> int:
    """Most bytes that were resident since `reset_peak`, or since the process started."""
    return _status(pid, "VmHWM") * 1024


def reset_peak(pid: int) -> None:
    """Has `peak_resident` start from what is resident now."""
    # 5 resets the peak (proc(5)).
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"^{field}:\s+(\d+)", text, flags=re.MULTILINE)
    assert match, f"no {field} in /proc/{pid}/status: the process has ended"
    return int(match.group(1))
