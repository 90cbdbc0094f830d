from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

Parse = Callable[..., argparse.Namespace]


def test_headers_are_split_at_the_first_colon(parse: Parse) -> None:
    assert parse("call", "m", "--header", "X-A: b:c", "--header", "y:").header == [("X-A", "b:c"), ("y", "")]


@pytest.mark.parametrize(
    "words",
    [
        ["--header", "no colon"],
        ["--header", "a: b\nc: d"],
        ["--header", ": x"],
        ["--timeout", "0"],
        ["--quiet", "x"],
        ["--ws", "--predict"],
        ["--environment", "a", "--deployment", "b"],
    ],
)
def test_wrong_use_is_refused(parse: Parse, words: list[str]) -> None:
    with pytest.raises(SystemExit) as failed:
        parse("call", "m", *words)
    assert failed.value.code == 2


def test_the_kind_is_open_unless_it_is_given(parse: Parse) -> None:
    assert parse("call", "m").kind is None
    assert parse("call", "m", "--ws").kind == "websocket"
    assert parse("call", "m", "--predict").kind == "predict"
