from __future__ import annotations

import argparse

import pytest

from penstock_controller.cli.arguments import add_command, duration, seconds, whole


@pytest.mark.parametrize(
    ("text", "value"), [("60", 60), ("1.5", 1.5), ("30s", 30), ("10m", 600), ("1h", 3600), ("0.5d", 43200), ("0", 0)]
)
def test_durations_have_units(text: str, value: float) -> None:
    assert duration(0, 86400)(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1w", "1h30m", "nan", "inf", "1e3", "25h", " 5", "5 s", "٣"])
def test_durations_that_are_none_or_too_long_are_refused_with_the_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="0 to 86400 s"):
        duration(0, 86400)(text)


@pytest.mark.parametrize("text", ["", "0", "11", "-1", "1.0", "1_0", "x", "9" * 5000])
def test_whole_numbers_outside_of_their_range_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 10"):
        whole(1, 10)(text)


def test_whole_numbers_in_their_range_are_taken() -> None:
    assert [whole(-1, 10)(text) for text in ("-1", "0", "10")] == [-1, 0, 10]


@pytest.mark.parametrize("text", ["0", "-1", "3601", "nan"])
def test_time_for_an_answer_is_bounded(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="at most 3600"):
        seconds(text)


def test_help_of_a_command_ends_with_its_examples_line_by_line() -> None:
    parser = argparse.ArgumentParser(prog="controller")
    commands = parser.add_subparsers()

    added = add_command(commands, "do", help="do it", examples=["controller do", "controller do --all"])

    shown = added.format_help()
    assert "Do it." in shown
    assert shown.endswith("examples:\n  controller do\n  controller do --all\n")
