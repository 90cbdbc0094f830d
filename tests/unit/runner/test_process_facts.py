"""What /proc tells of this process."""

from __future__ import annotations

import os
import subprocess
import sys

from penstock_runner.process_facts import resident_bytes, start_ticks


def test_start_time_tells_two_processes_apart_and_stays_the_same() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert start_ticks(child.pid) > start_ticks(os.getpid()) > 0
        assert start_ticks(os.getpid()) == start_ticks(os.getpid())
    finally:
        child.communicate(b"\n")


def test_process_that_does_not_exist_has_no_start_time() -> None:
    assert start_ticks(2**22 + 1) == 0


def test_resident_memory_is_that_of_a_python_process() -> None:
    assert 1024**2 < resident_bytes() < 1024**4
