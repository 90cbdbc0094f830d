from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_controller.actuators.process_table import (
    ProcessName,
    RunRecord,
    delete_other_records,
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


def test_gpus_that_the_controller_gave_are_known_although_the_runner_does_not_note_them(tmp_path: Path) -> None:
    me = own_name()
    write_spawn_record(tmp_path, RunRecord("r1", "d", me, gpus="0,1"))
    runners = f'{{"replica_id": "r1", "deployment_id": "d", "pid": {me.pid}, "pid_start_ticks": %d, "address": "a:1"}}'
    (tmp_path / "r1.json").write_text(runners % me.start_ticks)

    assert live_records(tmp_path) == [RunRecord("r1", "d", me, "a:1", "0,1")]

    (tmp_path / "r1.json").write_text(runners % (me.start_ticks + 1))

    assert read_records(tmp_path)["r1"].gpus == "", "another process, which nobody gave them"


def test_all_files_of_replicas_that_do_not_live_go_whatever_they_hold(tmp_path: Path) -> None:
    chainlet = "hello.Say-0a1b2c3d-abcde"
    kept = [".alive.json.k2j5h3l1", "alive.json", "alive.spawn.json", f"{chainlet}.json", "something.else"]
    kept[1:1] = [f".{chainlet}.spawn.json.k2j5h3l1"]
    dead = [".dead.json.k2j5h3l1", ".dead.spawn.json.k2j5h3l1", "dead.json", "dead.spawn.json", "alive.Say-x.json"]
    for name in [*kept, *dead]:
        (tmp_path / name).write_text("{")

    delete_other_records(tmp_path, {"alive", chainlet})

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
