from __future__ import annotations

import os
from pathlib import Path

from penstock_controller.actuators.log_files import COPIES, open_log, prune, rotate, tail


def test_file_that_is_too_big_is_put_aside_and_written_on_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "d-aaaaa.log"
    fd = open_log(path)
    for number in range(COPIES + 2):
        os.write(fd, f"part {number}\n".encode() * 10)
        assert rotate(path, bytes_max=20)
    os.write(fd, b"now\n")
    os.close(fd)

    assert path.read_text() == "now\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, *(f"{path.name}.{n + 1}" for n in range(COPIES))]
    assert path.with_name(f"{path.name}.1").read_text().startswith("part 4")


def test_small_or_missing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "d-aaaaa.log"
    assert not rotate(path)
    path.write_text("x")
    assert not rotate(path)


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
