from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli.up.log_tail import (
    LAG_BYTES_MAX,
    LINE_BYTES_MAX,
    READ_BYTES_MAX,
    LogTail,
    last_lines,
    render_line,
    render_text,
)
from penstock.log_files import rotate


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replica.log"


def test_missing_file_has_no_lines(path: Path) -> None:
    tail = LogTail(path)
    assert tail.read_lines() == []
    append(path, b"one\n")
    assert tail.read_lines() == ["one"]


def test_only_complete_lines_are_given_and_each_once(path: Path) -> None:
    tail = LogTail(path)
    append(path, b"one\ntwo\nthr")
    assert tail.read_lines() == ["one", "two"]
    assert tail.read_lines() == []
    append(path, b"ee\n")
    assert tail.read_lines() == ["three"]


def test_last_line_without_end_is_given_at_the_end(path: Path) -> None:
    tail = LogTail(path)
    append(path, b"one\nlast words")
    assert tail.finish() == ["one", "last words"]
    assert tail.finish() == []


def test_truncated_file_is_read_from_its_start(path: Path) -> None:
    tail = LogTail(path)
    append(path, b"one\ntwo\n")
    tail.read_lines()
    path.write_bytes(b"new\n")
    assert tail.read_lines() == ["new"]


def test_file_that_is_put_aside_is_followed_on(path: Path) -> None:
    tail = LogTail(path)
    append(path, b"one\ntwo\nunfin")
    assert tail.read_lines() == ["one", "two"]
    assert rotate(path, bytes_max=1)
    assert tail.read_lines() == []
    append(path, b"three\n")
    assert tail.read_lines() == ["three"]


def test_replaced_file_is_read_from_its_start(path: Path, tmp_path: Path) -> None:
    tail = LogTail(path)
    append(path, b"one\n")
    tail.read_lines()
    (tmp_path / "other").write_bytes(b"longer than before\n")
    (tmp_path / "other").replace(path)
    assert tail.read_lines() == ["longer than before"]


def test_one_poll_gives_a_bounded_amount(path: Path) -> None:
    append(path, b"0123456789abcde\n" * (READ_BYTES_MAX // 8))
    tail = LogTail(path)
    assert len(tail.read_lines()) == READ_BYTES_MAX // 16
    assert len(tail.finish()) == READ_BYTES_MAX // 16


def test_tail_that_is_far_behind_skips_and_says_so(path: Path) -> None:
    append(path, b"0123456789abcde\n" * (2 * LAG_BYTES_MAX // 16))
    lines = LogTail(path).read_lines()
    assert "bytes are not shown; all of it is in" in lines[0]
    assert len(lines) <= READ_BYTES_MAX // 16 + 1


def test_endless_line_is_given_in_parts(path: Path) -> None:
    append(path, b"x" * (3 * LINE_BYTES_MAX))
    tail = LogTail(path)
    lines = tail.finish()
    assert "".join(lines) == "x" * (3 * LINE_BYTES_MAX)
    assert max(map(len, lines)) <= LINE_BYTES_MAX


def test_bytes_that_are_not_utf8_do_not_stop_it(path: Path) -> None:
    append(path, b"\xff\xfe ok\n")
    assert LogTail(path).read_lines() == ["\ufffd\ufffd ok"]


def test_progress_bar_shows_its_last_state(path: Path) -> None:
    append(path, b" 10%\r 50%\r100%\r\n")
    assert LogTail(path).read_lines() == ["100%"]


def record(**keys: object) -> str:
    return json.dumps({"timestamp": "t", "level": "info", "event": "e", "component": "runner", **keys})


@pytest.mark.parametrize("line", ["hello", "", "{not json", '{"a": 1}', '["list"]', '{"event": "mine"}'])
def test_what_a_model_prints_is_kept(line: str) -> None:
    assert render_line(line) == line


def test_our_own_news_are_not_shown() -> None:
    assert render_line(record(event="stream_opened", stream_id=1)) is None


def test_our_own_warnings_are_shown_with_their_keys() -> None:
    line = record(level="warning", event="loop_is_slow", lag_s=1.5, what="a b", replica="echo-1-x")
    assert render_line(line) == 'WARNING loop_is_slow lag_s=1.5 what="a b"'


def test_text_with_records_in_it_is_made_readable() -> None:
    assert render_text(f"ended by SIGSEGV:\n{record()}\n\nlast words\n") == "ended by SIGSEGV:\n\nlast words"


@pytest.mark.parametrize("key", ["exception", "traceback"])
def test_error_of_a_handler_is_shown_with_its_traceback(key: str) -> None:
    line = record(level="error", event="handler_failed", **{key: "Traceback:\n  boom\n"})
    assert render_line(line) == "ERROR handler_failed\nTraceback:\n  boom"


def test_failure_to_load_is_left_to_the_verdict() -> None:
    assert render_line(record(level="error", event="model_load_failed", exception="Traceback")) is None


def test_log_records_of_the_model_are_shown() -> None:
    assert render_line(record(event="weights loaded", logger="model", level="info")) == "INFO weights loaded"


def test_last_lines_are_those_after_an_offset(path: Path) -> None:
    append(path, b"old\n")
    offset = path.stat().st_size
    append(path, b"one\n" + record(event="hidden").encode() + b"\n\ntwo\nthree\n")
    assert last_lines(path, offset, 2) == ["two", "three"]
    assert last_lines(path, offset, 9) == ["one", "two", "three"]


def test_last_lines_of_a_file_that_was_put_aside_since(path: Path) -> None:
    append(path, b"old\n" * 100)
    offset = path.stat().st_size
    rotate(path, bytes_max=1)
    append(path, b"one\n")
    assert last_lines(path, offset, 2) == ["one"]


def test_last_lines_of_a_missing_file(path: Path) -> None:
    assert last_lines(path, 0, 5) == []
