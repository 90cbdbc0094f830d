from __future__ import annotations

import pytest

from penstock.cli.main import build_parser


@pytest.mark.parametrize(
    "words",
    ["m {} --deployment m-1", "m --deployment m-1 {}", "--deployment m-1 m {}"],
)
def test_what_is_optional_may_stand_before_and_after_options(words: str) -> None:
    found = build_parser().parse_args(["call", *words.split()])

    assert (found.name, found.data, found.deployment) == ("m", "{}", "m-1")


def test_the_entrypoint_of_a_chain_may_stand_after_options() -> None:
    found = build_parser().parse_args(["chains", "push", "a.py", "--name", "x", "Top", "--wait"])

    assert (str(found.file), found.entrypoint, found.name, found.wait) == ("a.py", "Top", "x", True)


@pytest.mark.parametrize("words", ["m a --json b", "m --json a b", "m --jsonn", "m --json --bogus"])
def test_what_is_too_much_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["call", *words.split()])

    assert f"unrecognized arguments: {words.split()[-1]}" in capsys.readouterr().err


def test_dash_alone_is_an_argument() -> None:
    assert build_parser().parse_args(["call", "m", "--json", "-"]).data == "-"
