from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.call.printer import Printer
from penstock.cli.command_error import CommandError

Capture = pytest.CaptureFixture[bytes]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsysbinary: Capture) -> Callable[[], Printer]:
    """Makes a printer for a terminal. pytest takes the place of stdout once more behind a fixture, so not there."""

    def make() -> Printer:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        return Printer(None, indents=False)

    return make


def test_a_pipe_gets_every_byte(capsysbinary: Capture) -> None:
    with Printer(None, indents=False) as printer:
        printer.answer(b'{"a":1}', "application/json")
        printer.answer(b"\xff\x1b", "application/octet-stream")
        printer.part(b"\xff")
    assert capsysbinary.readouterr().out == b'{"a":1}\xff\x1b\xff'


def test_json_is_indented_when_asked(capsysbinary: Capture) -> None:
    with Printer(None, indents=True) as printer:
        printer.answer('{"a":"ü"}'.encode(), "application/json")
        printer.answer(b"plain", "text/plain")
    assert capsysbinary.readouterr().out == '{\n  "a": "ü"\n}\nplain'.encode()


def test_a_terminal_is_not_at_the_mercy_of_the_model(terminal: Callable[[], Printer], capsysbinary: Capture) -> None:
    with terminal() as printer:
        printer.answer(b"\x1b[2Jhi", "text/plain")
        printer.part(b"\x1bx\n")
        printer.message("a\x07\rb")
    assert capsysbinary.readouterr().out == b"\\x1b[2Jhi\\x1bx\na\\x07\\rb\n"


def test_a_terminal_gets_a_summary_of_binary_content(terminal: Callable[[], Printer], capsysbinary: Capture) -> None:
    with terminal() as printer:
        printer.answer(b"\x00" * 2048, "audio/wav")
        printer.message(bytes(range(20)))
        printer.message(b"\x01")
    shown = capsysbinary.readouterr().out.decode().splitlines()
    assert shown[0] == "2.0 KiB of audio/wav; write them with --output FILE"
    assert shown[1] == "[binary, 20 bytes: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f …]"
    assert shown[2] == "[binary, 1 byte: 01]"


def test_a_terminal_gets_indented_json_and_an_end_of_line(
    terminal: Callable[[], Printer], capsysbinary: Capture
) -> None:
    with terminal() as printer:
        printer.answer(b"[1]", "application/json")
        printer.part("grüß".encode()[:3])
        printer.part("grüß".encode()[3:])
    assert capsysbinary.readouterr().out == "[\n  1\n]\ngrüß\n".encode()


def test_a_file_gets_binary_messages_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Printer(tmp_path / "out", indents=False) as printer:
        printer.message(b"\x00\x01")
        printer.message("text")
    assert (tmp_path / "out").read_bytes() == b"\x00\x01text\n"
    assert capsys.readouterr().err == f"wrote 7 bytes to {tmp_path / 'out'}\n"


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot write"), Printer(tmp_path / "no" / "out", indents=False):
        pass


def test_json_messages_are_indented_only_when_asked(capsysbinary: Capture) -> None:
    with Printer(None, indents=False) as printer:
        printer.message('{"a": 1}')
    with Printer(None, indents=True) as printer:
        printer.message('{"a": 1}')
        printer.message("17")
    assert capsysbinary.readouterr().out == b'{"a": 1}\n{\n  "a": 1\n}\n17\n'
