from __future__ import annotations

import argparse
import io

import pytest

from penstock_controller.cli.consent import add_consent, ask
from penstock_controller.cli.failures import CommandError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_consent(parser)
    return parser.parse_args(given)


@pytest.mark.parametrize("answer", ["y\n", "YES\n", " yes \n"])
def test_yes_on_the_terminal_goes_on(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    ask("3 streams will be ended.", arguments())

    assert capsys.readouterr().err == "3 streams will be ended. Continue? [y/N] "


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yess\n"])
def test_anything_else_does_nothing(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    with pytest.raises(CommandError, match="nothing was done"):
        ask("3 streams will be ended.", arguments())


def test_without_a_terminal_the_option_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    with pytest.raises(CommandError, match=r"3 streams .* no terminal to ask on. Say --yes"):
        ask("3 streams will be ended.", arguments())
    ask("3 streams will be ended.", arguments("--yes"))
