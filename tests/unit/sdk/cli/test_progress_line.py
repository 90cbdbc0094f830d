from __future__ import annotations

import io

import pytest

from penstock.cli import progress_line
from penstock.cli.progress_line import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_only_what_stays() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.show("1 of 2")
    line.end("done")
    line.clear()
    assert stream.getvalue() == "done\n"


def test_a_terminal_sees_states_one_over_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_line, "REWRITE_S", 0.0)
    stream = Terminal()
    line = ProgressLine(stream)
    line.show("1 of 2")
    line.show("2 of 2")
    line.end("done")
    assert stream.getvalue() == "\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[Kdone\n"


def test_states_do_not_flicker() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    for number in range(100):
        line.show(str(number))
    assert stream.getvalue().count("\r") < 10
