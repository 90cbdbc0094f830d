from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.cli import exit_status
from penstock.cli.call import payload
from penstock.cli.call.payload import Body, file_message, messages, read_lines, request_body
from penstock.cli.command_error import CommandError


def test_data_is_sent_as_it_was_written() -> None:
    assert request_body('{"a":  1}', None) == Body(b'{"a":  1}', "application/json")


def test_data_that_is_no_json_is_refused_with_what_would_be() -> None:
    with pytest.raises(CommandError, match=r"write text as '\"hello\"'") as failed:
        request_body("hello", None)
    assert failed.value.status == exit_status.USAGE


def test_a_file_has_the_type_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[1]")
    (tmp_path / "b").write_bytes(b"\xff\x00")
    assert request_body(None, str(tmp_path / "a")) == Body(b"[1]", "application/json")
    assert request_body(None, str(tmp_path / "b")) == Body(b"\xff\x00", "application/octet-stream")


def test_a_file_that_is_missing_or_too_large_is_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="cannot read"):
        file_message(str(tmp_path / "missing"))
    monkeypatch.setattr(payload, "FILE_BYTES_MAX", 3)
    (tmp_path / "large").write_bytes(b"1234")
    with pytest.raises(CommandError, match="has more than"):
        file_message(str(tmp_path / "large"))


def test_messages_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one\ntwo words\n")
    (tmp_path / "binary").write_bytes(b"\xff\n\xff")
    assert list(messages(None, str(tmp_path / "text"), lines=False)) == ["one\ntwo words\n"]
    assert list(messages(None, str(tmp_path / "text"), lines=True)) == ["one", "two words"]
    assert list(messages(None, str(tmp_path / "binary"), lines=True)) == [b"\xff\n\xff"]
    assert list(messages("hello", None, lines=False)) == ["hello"]


def test_lines_come_as_soon_as_they_are_there() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end), os.fdopen(write_end, "wb", buffering=0) as writer:
        lines = read_lines(read_end)
        writer.write("grüß\nhal".encode())
        assert next(lines) == "grüß"
        writer.write(b"lo\nrest")
        assert next(lines) == "hallo"
        writer.close()
        assert list(lines) == ["rest"]
