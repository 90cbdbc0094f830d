from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from penstock.cli.up.processes import identify, is_alive, kill

SLEEPER = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    """Leads a process group, and has a child that shares its stdout."""
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        yield process
        process.kill()


def test_this_process_is_alive() -> None:
    found = identify(os.getpid())
    assert found is not None
    assert is_alive(found)


def test_another_process_of_the_same_pid_is_not_the_same() -> None:
    found = identify(os.getpid())
    assert found is not None
    assert not is_alive(replace(found, start_ticks=found.start_ticks - 1))


def test_killed_process_takes_its_group_along(leader: subprocess.Popen[bytes]) -> None:
    found = identify(leader.pid)
    assert found is not None
    kill(found)
    assert leader.stdout is not None
    # The end of the shared pipe is the end of both.
    assert leader.stdout.read() == b""
    os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
    # Not reaped yet, but a zombie does not count.
    assert not is_alive(found)
    assert leader.wait() == -9
    assert identify(leader.pid) is None
    kill(found)


def test_other_process_of_the_same_pid_is_spared(leader: subprocess.Popen[bytes]) -> None:
    found = identify(leader.pid)
    assert found is not None
    kill(replace(found, start_ticks=1))
    assert is_alive(found)
