from __future__ import annotations

import os
from pathlib import Path

from penstock_controller.actuators.replica_logs import prune, tail


def test_only_the_newest_logs_of_ended_replicas_are_kept(tmp_path: Path) -> None:
    for number, name in enumerate(["d-aaaaa", "d-bbbbb", "d-ccccc", "d-ddddd", "d-x-eeeee"]):
        for suffix in (".log", ".log.1"):
            (tmp_path / f"{name}{suffix}").write_text("x")
            os.utime(tmp_path / f"{name}{suffix}", (number, number))

    prune(tmp_path, "d", alive={"d-aaaaa"}, keep=1)

    assert sorted(p.name for p in tmp_path.glob("*.log")) == ["d-aaaaa.log", "d-ddddd.log", "d-x-eeeee.log"]
    assert not (tmp_path / "d-bbbbb.log.1").exists()


def test_tail_is_short_and_survives_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert tail(path) == ""
    path.write_bytes(b"\xff" * 9000 + b"\nlast\n")
    assert tail(path).endswith("last")
    assert len(tail(path)) < 5000
