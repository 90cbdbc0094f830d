"""Messages of conversations and framed streams."""

from __future__ import annotations

import json

import pytest

from penstock.chains.remote.frames import (
    END,
    END_FRAME,
    ERROR,
    HEADER,
    ITEM,
    FrameError,
    Opening,
    error_frame,
    header_frame,
    item_frame,
    read_error,
    read_frame,
    read_opening,
)


@pytest.mark.parametrize("parts", [(b"",), (b"ab", memoryview(b"cd")), ()], ids=["empty", "parts", "none"])
def test_an_item_comes_back_as_it_was(parts: tuple[bytes | memoryview, ...]) -> None:
    assert read_frame(item_frame(parts)) == (ITEM, b"".join(parts))


def test_an_end_has_no_content() -> None:
    assert read_frame(END_FRAME) == (END, b"")


def test_an_opening_comes_back_with_names_in_lower_case() -> None:
    kind, content = read_frame(header_frame("application/json", {"TraceParent": "ä"}, (b"ar", memoryview(b"gs"))))

    assert kind == HEADER
    assert read_opening(content) == Opening("application/json", {"traceparent": "ä"}, b"args")


def test_headers_that_are_no_text_are_left_out() -> None:
    meta = json.dumps({"content_type": "a/b", "headers": {"a": 1, "b": "2"}}).encode()

    assert read_opening(len(meta).to_bytes(4, "big") + meta).headers == {"b": "2"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "cut short"),
        (b"\x00\x00\x00\x05{}", "cut short"),
        (b"\x00\x00\x00\x02{}", "without its content type"),
        (b"\x00\x00\x00\x02[]", "without its content type"),
        (b"\x00\x00\x00\x02{{", "without its content type"),
        (b"\x00\x00\x00\x12" + b'{"content_type":1}', "wrong types"),
    ],
    ids=["empty", "short", "no type", "array", "no json", "number"],
)
def test_a_broken_opening_is_refused(content: bytes, text: str) -> None:
    with pytest.raises(FrameError, match=text):
        read_opening(content)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x05x"], ids=["empty", "zero", "five"])
def test_an_unknown_message_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        read_frame(data)


def test_an_error_keeps_its_status_and_detail() -> None:
    kind, content = read_frame(error_frame(422, {"exception_message": "x"}))

    status, body = read_error(content)
    assert (kind, status) == (ERROR, 422)
    assert json.loads(body)["error"] == {"exception_message": "x"}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"status": 200}', b'{"status": "500"}'], ids=["empty", "array", "200", "text"]
)
def test_an_error_without_a_good_status_has_500(content: bytes) -> None:
    assert read_error(content) == (500, content)
