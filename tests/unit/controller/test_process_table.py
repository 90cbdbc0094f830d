from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_controller.actuators.process_table import (
    ProcessName,
    RunRecord,
    delete_records,
    live_records,
    open_pidfd,
    read_records,
    read_start_ticks,
    write_spawn_record,
)


def own_name() -> ProcessName:
    ticks = read_start_ticks(os.getpid())
    assert ticks is not None
    return ProcessName(os.getpid(), ticks)


def test_process_is_alive_only_with_its_own_start_time() -> None:
    me = own_name()

    assert me.is_alive()
    assert not ProcessName(me.pid, me.start_ticks + 1).is_alive()
    assert open_pidfd(ProcessName(me.pid, me.start_ticks + 1)) is None


def test_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    fd = open_pidfd(ProcessName(child.pid, read_start_ticks(child.pid) or 0))
    if fd is not None:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        os.close(fd)

    assert read_start_ticks(child.pid) is None
    child.wait()


def test_record_of_the_runner_goes_before_that_of_the_controller(tmp_path: Path) -> None:
    me = own_name()
    write_spawn_record(tmp_path, RunRecord("r1", "d", me))
    assert live_records(tmp_path) == [RunRecord("r1", "d", me, "")]

    (tmp_path / "r1.json").write_text(
        f'{{"replica_id": "r1", "deployment_id": "d", "pid": {me.pid}, "pid_start_ticks": {me.start_ticks},'
        ' "address": "127.0.0.1:9", "boot_id": "b"}'
    )

    assert live_records(tmp_path) == [RunRecord("r1", "d", me, "127.0.0.1:9")]
    delete_records(tmp_path, "r1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"replica_id": "r1"}', '{"replica_id": "r", "pid": "x"}'])
def test_damaged_record_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "r1.json").write_text(text)

    assert read_records(tmp_path) == {}
