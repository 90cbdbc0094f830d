from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from penstock.lifeline import LIFELINE_EXIT_STATUS, Lifeline, watch_lifeline

WAIT_S = 20

WATCHER = """
import sys, time
from penstock.lifeline import watch_lifeline
watch_lifeline(int(sys.argv[1]))
print("watching", flush=True)
while True:
    time.sleep(60)
"""

OWNER = """
import subprocess, sys, time
from penstock.lifeline import Lifeline
line = Lifeline()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(line.read_fd)], pass_fds=(line.read_fd,),
                         stdout=sys.stdout, start_new_session=True)
print(child.pid, flush=True)
while True:
    time.sleep(60)
"""

STARTER = """
import subprocess, sys
from penstock.lifeline import watch_lifeline
fd = int(sys.argv[1])
watch_lifeline(fd)
child = subprocess.Popen([sys.executable, "-c", sys.argv[2], str(fd)], pass_fds=(fd,), start_new_session=True)
child.wait()
"""


def test_callback_runs_when_the_owner_closes() -> None:
    line = Lifeline()
    ended = threading.Event()
    fd = os.dup(line.read_fd)
    watch_lifeline(fd, ended.set)
    assert not ended.is_set()
    line.close()
    assert ended.wait(WAIT_S)
    os.close(fd)


def test_process_ends_when_the_owner_closes() -> None:
    line = Lifeline()
    with subprocess.Popen(
        [sys.executable, "-c", WATCHER, str(line.read_fd)], pass_fds=(line.read_fd,), stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"watching\n"
        line.close()
        assert child.wait(WAIT_S) == LIFELINE_EXIT_STATUS


def test_process_ends_when_the_owner_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, WATCHER], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        lines = {owner.stdout.readline(), owner.stdout.readline()}
        assert b"watching\n" in lines
        owner.kill()
        # The child shares the pipe of stdout: its end is the end of the child.
        assert owner.stdout.read() == b""


def test_grandchild_gets_the_lifeline_from_its_parent() -> None:
    line = Lifeline()
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(line.read_fd), WATCHER],
        pass_fds=(line.read_fd,),
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"watching\n"
        line.close()
        assert child.stdout.read() == b""


MODEL_WITH_CHILD = """
import subprocess, sys
from penstock.lifeline import end_process_group, watch_lifeline
watch_lifeline(int(sys.argv[1]), end_process_group)
child = subprocess.Popen([sys.executable, "-c", "print('child', flush=True); import time; time.sleep(600)"])
child.wait()
"""


def test_process_group_ends_with_its_leader() -> None:
    line = Lifeline()
    with subprocess.Popen(
        [sys.executable, "-c", MODEL_WITH_CHILD, str(line.read_fd)],
        pass_fds=(line.read_fd,),
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"child\n"
        line.close()
        # The grandchild shares the pipe of stdout: its end is the end of both.
        assert leader.stdout.read() == b""
        assert leader.wait(WAIT_S) == -9


def test_ends_are_not_inherited_by_other_children() -> None:
    line = Lifeline()
    try:
        assert not os.get_inheritable(line.read_fd)
        assert not os.get_inheritable(line._write_fd)
    finally:
        line.close()


def test_a_number_that_is_no_descriptor_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an open file descriptor"):
        watch_lifeline(1_000_000)


def test_a_descriptor_that_is_no_pipe_is_an_error() -> None:
    with open(os.devnull, "rb") as file, pytest.raises(ValueError, match="not a pipe"):
        watch_lifeline(file.fileno())


def test_closing_twice_is_harmless() -> None:
    line = Lifeline()
    line.close()
    line.close()
