from __future__ import annotations

import os
from pathlib import Path

from penstock.log_files import COPIES, open_log, rotate


def test_file_that_is_too_big_is_put_aside_and_written_on_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "d-aaaaa.log"
    fd = open_log(path)
    for number in range(COPIES + 2):
        os.write(fd, f"part {number}\n".encode() * 10)
        assert rotate(path, bytes_max=40)
    os.write(fd, b"now\n")
    os.close(fd)

    assert path.read_text() == "now\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, *(f"{path.name}.{n + 1}" for n in range(COPIES))]
    assert path.with_name(f"{path.name}.1").read_text().startswith("part 4")


def test_of_a_file_that_grew_far_beyond_the_size_only_the_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "d-aaaaa.log"
    path.write_bytes(b"x" * 10_000 + b"the end")

    assert rotate(path, bytes_max=20)

    kept = path.with_name(f"{path.name}.1").read_bytes()
    assert len(kept) == 40
    assert kept.endswith(b"xthe end")


def test_small_or_missing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "d-aaaaa.log"
    assert not rotate(path)
    path.write_text("x")
    assert not rotate(path)
