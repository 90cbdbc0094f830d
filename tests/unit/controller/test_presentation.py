from __future__ import annotations

import argparse
import io
import json
import os
import pty
from collections.abc import Iterator

import pytest

from penstock_controller.cli import exit_status
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.presentation import (
    add_presentation,
    can_redraw,
    has_unicode,
    is_terminal,
    reader_is_gone,
    style_of,
    terminal_size,
    write,
    write_document,
)

UTF8 = {"LANG": "en_GB.UTF-8", "TERM": "xterm"}


def pipe(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.fixture
def terminal() -> Iterator[io.TextIOWrapper]:
    master, slave = pty.openpty()
    with open(slave, "w", encoding="utf-8") as out:
        yield out
    os.close(master)


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_presentation(parser)
    return parser.parse_args(given)


def test_colours_are_for_terminals(terminal: io.TextIOWrapper) -> None:
    assert style_of(arguments(), UTF8, out=terminal).color
    assert not style_of(arguments(), UTF8, out=pipe()).color


@pytest.mark.parametrize(
    ("given", "env"), [([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"}), (["--no-color"], {})], ids=str
)
def test_colours_can_be_declined(terminal: io.TextIOWrapper, given: list[str], env: dict[str, str]) -> None:
    assert not style_of(arguments(*given), UTF8 | env, out=terminal).color


def test_only_terminals_have_a_width(terminal: io.TextIOWrapper) -> None:
    os.environ.pop("COLUMNS", None)

    assert style_of(arguments(), UTF8, out=terminal).width == 80
    assert style_of(arguments(), UTF8, out=pipe()).width is None
    assert terminal_size(pipe()) == (80, 24)


@pytest.mark.parametrize(
    ("env", "encoding", "unicode"),
    [
        ({"LANG": "C.UTF-8"}, "utf-8", True),
        ({"LANG": "de_DE.utf8"}, "utf-8", True),
        ({"LANG": "C"}, "utf-8", False),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, "utf-8", False),
        ({"LANG": "en_GB.UTF-8"}, "ascii", False),
        ({}, "utf-8", False),
    ],
)
def test_arrows_need_a_terminal_that_can_show_them(env: dict[str, str], encoding: str, unicode: bool) -> None:
    assert has_unicode(env, pipe(encoding)) is unicode


def test_options_reach_the_style() -> None:
    style = style_of(
        arguments("-o", "wide", "--no-headers", "--sort-by=-loop-lag"), {}, sortable={"LOOP LAG"}, out=pipe()
    )

    assert (style.wide, style.headers, style.sort_by) == (True, False, "-LOOP LAG")


def test_unknown_column_is_bad_usage() -> None:
    with pytest.raises(
        CommandError, match="--sort-by age: there is no such column; there are: MODEL, READY"
    ) as refused:
        style_of(arguments("--sort-by", "age"), {}, sortable={"READY", "MODEL"}, out=pipe())

    assert refused.value.status == exit_status.USAGE


def test_screen_needs_a_terminal_that_can_move_its_cursor(terminal: io.TextIOWrapper) -> None:
    assert is_terminal(terminal) and can_redraw({"TERM": "xterm"}, terminal)
    assert not can_redraw({"TERM": "dumb"}, terminal)
    assert not can_redraw({}, terminal)
    assert not can_redraw({"TERM": "xterm"}, pipe())


def test_reader_that_left_is_noticed_without_writing() -> None:
    read, written = os.pipe()
    with open(written, "w", encoding="utf-8") as out:
        assert not reader_is_gone(out)
        os.close(read)
        assert reader_is_gone(out)
    assert not reader_is_gone(io.StringIO())


def test_what_cannot_be_encoded_is_escaped() -> None:
    out = pipe("ascii")

    write("café\n", out)

    out.seek(0)
    assert out.read() == "caf\\xe9\n"


def test_documents_come_in_three_forms(capsys: pytest.CaptureFixture[str]) -> None:
    written = {}
    for output in ("json", "jsonl", "yaml"):
        write_document({"kind": "Status", "list": [1]}, output)
        written[output] = capsys.readouterr().out

    assert json.loads(written["json"]) == json.loads(written["jsonl"])
    assert written["jsonl"] == '{"kind":"Status","list":[1]}\n'
    assert written["yaml"] == "kind: Status\nlist:\n- 1\n"
