from __future__ import annotations

from penstock.preparation.output_lines import LINE_BYTES_MAX, OutputLines


def test_lines_are_given_when_they_are_whole() -> None:
    lines = OutputLines()

    assert lines.feed(b"one\ntw", 0.0) == ["one"]
    assert lines.feed(b"o\r\n\n  three\n", 0.0) == ["two", "  three"]
    assert lines.end() == []


def test_the_last_line_may_lack_its_end() -> None:
    lines = OutputLines()
    lines.feed(b"one\nrest", 0.0)

    assert lines.end() == ["rest"]
    assert lines.end() == []


def test_of_a_progress_bar_one_state_per_second_is_given() -> None:
    lines = OutputLines()

    assert lines.feed(b"1%\r2%\r3%\r", 10.0) == ["1%"]
    assert lines.feed(b"4%\r", 10.5) == []
    assert lines.feed(b"5%\r100%\n", 11.0) == ["5%", "100%"]


def test_colours_and_control_characters_are_taken_out() -> None:
    assert OutputLines().feed(b"\x1b[31mred\x1b[0m \x07bell \xff\n", 0.0) == ["red bell \ufffd"]


def test_a_line_without_end_is_cut() -> None:
    lines = OutputLines()
    given = [line for _ in range(10) for line in lines.feed(b"x" * 1000, 0.0)]

    assert given
    assert max(map(len, given)) == LINE_BYTES_MAX
