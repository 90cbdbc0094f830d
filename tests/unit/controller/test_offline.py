from __future__ import annotations

import os
from pathlib import Path

from penstock_controller.actuators.process_table import ProcessName, RunRecord, read_start_ticks, write_spawn_record
from penstock_controller.cli.offline import render_offline, still_serving


def test_only_live_runners_are_told(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    me = ProcessName(os.getpid(), read_start_ticks(os.getpid()) or 0)
    write_spawn_record(tmp_path / "run", RunRecord("alive", "d", me))
    write_spawn_record(tmp_path / "run", RunRecord("dead", "d", ProcessName(me.pid, 1)))

    assert [record.replica_id for record in still_serving(tmp_path)] == ["alive"]


def test_what_goes_on_is_said_with_what_to_do(tmp_path: Path) -> None:
    records = [RunRecord(f"r{n}", "d", ProcessName(n, 1), f"127.0.0.1:{n}") for n in (1, 2)]

    text = render_offline(records, tmp_path)

    assert text.startswith("2 runners are alive")
    assert "r2  pid 2  127.0.0.1:2" in text
    assert f"controller serve --state-dir {tmp_path}" in text
    assert render_offline([], tmp_path) == f"No runner of {tmp_path} is alive."


def test_folder_that_is_not_there_has_no_runners(tmp_path: Path) -> None:
    assert still_serving(tmp_path / "none") == []
