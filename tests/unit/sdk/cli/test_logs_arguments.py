from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

Parse = Callable[..., argparse.Namespace]


def test_defaults(parse: Parse) -> None:
    arguments = parse("logs", "m")
    assert (arguments.target, arguments.follow, arguments.tail, arguments.build, arguments.raw) == (
        "m",
        False,
        200,
        False,
        False,
    )


@pytest.mark.parametrize("tail", ["0", "-1", "100001", "many", ""])
def test_the_number_of_lines_is_bounded(parse: Parse, tail: str) -> None:
    with pytest.raises(SystemExit):
        parse("logs", "m", "--tail", tail)
    assert parse("logs", "m", "--tail", "100000").tail == 100_000
