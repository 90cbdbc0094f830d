from __future__ import annotations

import pytest

from penstock.cli.call.prompt_line import CloseStream, SendFile, SendText, Tell, read_prompt_line


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("hello", SendText("hello")),
        ("", SendText("")),
        (" /not a command", SendText(" /not a command")),
        ("//path", SendText("/path")),
        ('/json {"a": 1}', SendText('{"a": 1}')),
        ("/binary my file.wav", SendFile("my file.wav")),
        ("/close", CloseStream(1000, "")),
        ("/close 4001 had enough", CloseStream(4001, "had enough")),
    ],
)
def test_lines_and_commands(line: str, meaning: object) -> None:
    assert read_prompt_line(line) == meaning


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/json {", "not sent, it is not JSON"),
        ("/binary", "/binary needs the name of a file"),
        ("/close 1001", "1000, or 3000"),
        ("/close x", "not x"),
        (f"/close 1000 {'ü' * 62}", "at most 123 bytes"),
        ("/quit", "/quit is no command"),
        ("/help", "Ctrl-D"),
    ],
)
def test_slips_are_told_and_nothing_is_sent(line: str, text: str) -> None:
    told = read_prompt_line(line)
    assert isinstance(told, Tell)
    assert text in told.text.replace("1000 or 3000", "1000, or 3000")
