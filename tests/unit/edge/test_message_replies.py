from __future__ import annotations

import json

import pytest

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock_edge.message_replies import ReplyText, error_message, is_plain, is_text


def head(*headers: tuple[str, str], more: bool = True) -> trunk_pb2.ResponseHead:
    return trunk_pb2.ResponseHead(
        status=200,
        headers=[common_pb2.Header(name=name, value=value.encode()) for name, value in headers],
        body_follows=more,
    )


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/event-stream", True),
        ('text/plain; charset="UTF-8"', True),
        ("text/plain; charset=latin-1", False),
        ("application/octet-stream", False),
        ("image/svg+xml", True),
        ("image/png", False),
        ("", False),
    ],
)
def test_text_goes_out_as_text(content_type: str, expected: bool) -> None:
    assert is_text(head(("Content-Type", content_type))) is expected


def test_a_body_without_a_type_or_with_two_is_binary() -> None:
    assert not is_text(head())
    assert not is_text(head(("content-type", "text/plain"), ("content-type", "application/json")))


def test_a_body_whose_length_was_known_is_one_result() -> None:
    assert is_plain(head(more=False))
    assert is_plain(head(("content-length", "5")))
    assert not is_plain(head())
    assert not is_plain(head(("content-length", "x")))


def test_characters_may_be_cut_between_pieces_but_not_at_the_end() -> None:
    whole = "ä€😀".encode()
    for cut in range(1, len(whole)):
        text = ReplyText(whole[:cut])
        assert text.is_valid
        assert text.goes_on(whole[cut:], is_last=True)
        assert ReplyText(whole[:cut], is_last=True).is_valid is (cut in (2, 5))


def test_what_is_no_text_from_the_beginning_takes_anything() -> None:
    binary = ReplyText(b"\xff")
    assert not binary.is_valid
    assert binary.goes_on(b"\xfe", is_last=True)
    text = ReplyText(b"a")
    assert text.is_valid and not text.goes_on(b"\xff")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error": "told"}', "told"),
        (b'{"error": {"code": 1}}', {"code": 1}),
        (b'{"detail": "other"}', {"detail": "other"}),
        (b"plain text", "plain text"),
        (b"\xff", "�"),
        (b"", "The model answered with status 418."),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_an_error_of_the_model_is_what_it_says(body: bytes, error: object) -> None:
    assert json.loads(error_message(418, body)) == {"error": error, "status": 418}


def test_an_error_of_the_platform_has_its_code() -> None:
    assert json.loads(error_message(503, "No slot.", EndCode.REPLICA_FULL)) == {
        "error": "No slot.",
        "status": 503,
        "code": "REPLICA_FULL",
        "retryable": True,
    }
