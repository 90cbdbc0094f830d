from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

Parse = Callable[..., argparse.Namespace]


def test_without_options_nothing_is_promoted(parse: Parse) -> None:
    arguments = parse("push")
    assert (arguments.environment, arguments.wait, arguments.output, str(arguments.directory)) == (
        "",
        False,
        "text",
        ".",
    )


def test_to_promote_means_production(parse: Parse) -> None:
    assert parse("push", "m", "--promote").environment == "production"
    assert parse("push", "m", "--environment", "qa").environment == "qa"


@pytest.mark.parametrize(
    "words",
    [["--promote", "--environment", "qa"], ["--timeout", "0"], ["--timeout", "nan"], ["--output", "xml"], ["a", "b"]],
)
def test_wrong_use_is_refused(parse: Parse, words: list[str]) -> None:
    with pytest.raises(SystemExit) as failed:
        parse("push", *words)
    assert failed.value.code == 2
