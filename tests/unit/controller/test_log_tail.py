from __future__ import annotations

from pathlib import Path

import pytest

from penstock.log_files import rotate
from penstock_controller import log_tail
from penstock_controller.log_tail import LINE_BYTES_MAX, LogTail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.log"


def write(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_the_last_lines_come_first_and_then_what_is_written(path: Path) -> None:
    write(path, "1\n2\n3\n")
    tail = LogTail(path)
    assert tail.last_lines(2) == ["2", "3"]
    assert tail.new_lines() == []
    write(path, "4\n5")
    assert tail.new_lines() == ["4"]
    write(path, "0\n")
    assert tail.new_lines() == ["50"]


def test_a_file_that_is_not_there_is_empty_until_it_is(path: Path) -> None:
    tail = LogTail(path)
    assert (tail.last_lines(5), tail.new_lines()) == ([], [])
    write(path, "1\n")
    assert tail.new_lines() == ["1"]


def test_last_lines_go_back_over_older_parts(path: Path) -> None:
    write(path.with_name("r.log.2"), "1\n2\n")
    write(path.with_name("r.log.1"), "3\n")
    write(path, "4\n5")
    tail = LogTail(path)
    assert tail.last_lines(3) == ["2", "3", "4"]
    assert tail.unfinished() == ["5"]
    assert tail.unfinished() == []
    assert LogTail(path).last_lines(100) == ["1", "2", "3", "4"]
    assert LogTail(path).last_lines(0) == []


def test_lines_longer_than_a_block_are_found_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "BLOCK_BYTES", 7)
    lines = [str(number) * 5 for number in range(30)]
    write(path, "\n".join(lines) + "\n")
    assert LogTail(path).last_lines(11) == lines[-11:]


def test_nothing_is_lost_when_the_file_is_put_aside(path: Path) -> None:
    write(path, "1\n")
    tail = LogTail(path)
    assert tail.last_lines(5) == ["1"]
    write(path, "2\n3")
    rotate(path, bytes_max=4)
    write(path, "3\n")
    found = [*tail.new_lines(), *tail.new_lines()]
    assert found == ["2", "33"]


def test_a_file_that_is_gone_after_it_was_put_aside_is_read_from_its_beginning(path: Path) -> None:
    write(path, "1\n2\n")
    tail = LogTail(path)
    tail.last_lines(5)
    path.write_text("3\n")
    assert [*tail.new_lines(), *tail.new_lines()] == ["3"]


def test_much_at_once_comes_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "READ_BYTES_MAX", 5)
    tail = LogTail(path)
    write(path, "12\n34\n56\n")
    assert [tail.new_lines(), tail.new_lines(), tail.new_lines()] == [["12"], ["34", "56"], []]


def test_a_line_that_never_ends_is_cut(path: Path) -> None:
    tail = LogTail(path)
    for _ in range(3):
        write(path, "x" * LINE_BYTES_MAX)
        assert tail.new_lines() == []
    assert len(tail._rest) == LINE_BYTES_MAX
    write(path, "\n")
    (line,) = tail.new_lines()
    assert line == "x" * LINE_BYTES_MAX + f" … ({2 * LINE_BYTES_MAX} bytes more)"


def test_bytes_that_are_no_text_are_replaced(path: Path) -> None:
    path.write_bytes(b"a\xffb\r\n")
    assert LogTail(path).last_lines(1) == ["a�b"]
