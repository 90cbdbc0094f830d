from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from penstock.cli.up.progress import PlainView, TerminalView, make_view


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


def terminal_view() -> tuple[TerminalView, Terminal]:
    terminal = Terminal()
    console = Console(file=terminal, force_terminal=True, width=60, highlight=False, color_system="truecolor")
    return TerminalView(console, terminal), terminal


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-?]*[@-~]", "", text)


def test_plain_progress_is_printed_once_per_change() -> None:
    out = io.StringIO()
    view = PlainView(out, out)
    view.progress(["a: 0 of 1", "b: 0 of 1"])
    view.progress(["a: 0 of 1", "b: 0 of 1"])
    view.progress(["a: 1 of 1"])
    view.progress([])
    assert out.getvalue() == "a: 0 of 1\nb: 0 of 1\na: 1 of 1\n"


def test_plain_lines_of_a_log_carry_their_label() -> None:
    out = io.StringIO()
    PlainView(out, out).log_line("echo/x", "Traceback\n  boom")
    assert out.getvalue() == "echo/x | Traceback\necho/x |   boom\n"


def test_errors_go_to_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    PlainView(out, err).error("bad")
    assert (out.getvalue(), err.getvalue()) == ("", "bad\n")


def test_reader_that_is_gone_does_not_stop_anything() -> None:
    view = PlainView(Gone(), Gone())
    view.note("x")
    view.error("x")


def test_spinner_is_shown_updated_and_removed() -> None:
    view, terminal = terminal_view()
    view.progress(["echo: 0 of 1 replica ready"])
    view.progress(["echo: still loading"])
    view.close()
    view.close()
    text = terminal.getvalue()
    assert "echo: still loading" in without_escapes(text)
    assert text.rstrip("\n").endswith(("\x1b[2K", "\x1b[?25h")), "the cursor is shown again, and the line is empty"


def test_log_lines_keep_colours_but_cannot_drive_the_terminal() -> None:
    view, terminal = terminal_view()
    view.log_line("echo/x", "\x1b[31mred\x1b[0m \x1b[2J\x1bc\x07\x08\x1b]0;title\x07[bold]kept[/bold]")
    text = terminal.getvalue()
    assert without_escapes(text) == "echo/x | red [bold]kept[/bold]\n"
    assert "31m" in text
    for bad in ("\x1b[2J", "\x1bc", "\x07", "\x08"):
        assert bad not in text


def test_long_lines_can_be_copied_whole() -> None:
    view, terminal = terminal_view()
    url = "ws://127.0.0.1:8000/model/" + "x" * 100
    view.text(url)
    assert terminal.getvalue() == f"{url}\n"


def test_replicas_of_one_model_share_a_colour() -> None:
    view, terminal = terminal_view()
    for label in ("echo/a", "voice/a", "echo/b"):
        view.log_line(label, "x")
    colors = [line.split("m", 1)[0] for line in terminal.getvalue().splitlines()]
    assert colors[0] == colors[2] != colors[1]


def test_no_spinner_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert isinstance(make_view(), PlainView)


def test_no_spinner_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_view(), PlainView)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_view(), TerminalView)


@pytest.mark.parametrize("kind", ["plain", "terminal"])
def test_what_cannot_be_written_in_the_encoding_of_the_output_is_escaped(kind: str) -> None:
    """A model may log half a surrogate pair; that must not end the platform."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="utf-8")
    view = PlainView(out, out) if kind == "plain" else TerminalView(Console(file=out, width=60), out)

    view.log_line("echo/x", "half \ud800, whole ä")
    view.note("again")

    out.flush()
    assert raw.getvalue().decode() == "echo/x | half \\ud800, whole ä\nagain\n"
