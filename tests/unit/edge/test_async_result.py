from __future__ import annotations

import json

import pytest

from penstock.close_codes import EndCode
from penstock_edge.async_queue import AsyncRequest, Status, WebhookStatus
from penstock_edge.async_result import (
    ERROR_TEXT_MAX,
    Outcome,
    outcome_of,
    outcome_of_failure,
    status_body,
    time_text,
    webhook_body,
)


def request() -> AsyncRequest:
    return AsyncRequest(
        id="r-1",
        model="m",
        deployment_id="d",
        body=b"",
        headers=(),
        webhook="https://x",
        priority=0,
        created_at=5.5,
        expires_at=9,
        status=Status.FAILED,
        webhook_status=WebhookStatus.PENDING,
        status_at=6.25,
        errors=(("CODE", 'text "quoted"'),),
    )


@pytest.mark.parametrize(
    ("content_type", "body", "result"),
    [
        ("application/json", b'{"a": 1e1}', b'{"a": 1e1}'),
        ("application/problem+json; charset=utf-8", b"[1]", b"[1]"),
        ("application/json", b"not json", b'"not json"'),
        (
            "application/json",
            '"ä"'.encode("utf-16"),
            json.dumps('"ä"'.encode("utf-16").decode("utf-8", "replace")).encode(),
        ),
        ("text/plain", "ä".encode(), b'"\\u00e4"'),
        ("text/event-stream", b"data: 1\n\n", b'"data: 1\\n\\n"'),
        ("image/png", b"\x89", b'{"content_type": "image/png", "base64": "iQ=="}'),
        ("", b"", b"null"),
    ],
)
def test_results_become_json(content_type: str, body: bytes, result: bytes) -> None:
    assert outcome_of(200, content_type, body) == Outcome(result, None)


@pytest.mark.parametrize(
    ("status", "code", "is_retried"),
    [
        (400, "MODEL_INVALID_INPUT", False),
        (404, "MODEL_DOES_NOT_EXIST", False),
        (422, "MODEL_INVALID_INPUT", False),
        (500, "MODEL_PREDICT_ERROR", True),
        (501, "MODEL_PREDICT_ERROR", False),
        (502, "MODEL_UNAVAILABLE", True),
        (503, "MODEL_UNAVAILABLE", True),
        (504, "MODEL_PREDICT_TIMEOUT", True),
    ],
)
def test_a_status_becomes_a_code(status: int, code: str, is_retried: bool) -> None:
    body = b'{"error": "told"}'
    assert outcome_of(status, "application/json", body) == Outcome(None, (code, "told"), is_retried)


def test_the_text_of_an_error_is_what_the_model_says_and_bounded() -> None:
    def text(body: bytes) -> str:
        error = outcome_of(500, "text/plain", body).error
        assert error is not None
        return error[1]

    assert text(b"plain") == "plain"
    assert text(b"") == "The model answered with status 500."
    assert text(b'{"error": [1]}') == "[1]"
    assert len(text(b"x" * 10_000)) == ERROR_TEXT_MAX


@pytest.mark.parametrize(
    ("code", "expected", "is_retried"),
    [
        (EndCode.REPLICA_LOST, "MODEL_UNAVAILABLE", True),
        (EndCode.REQUEST_TIMEOUT, "MODEL_PREDICT_TIMEOUT", True),
        (EndCode.MODEL_ERROR, "MODEL_PREDICT_ERROR", True),
        (EndCode.NOT_FOUND, "MODEL_DOES_NOT_EXIST", False),
        (EndCode.MESSAGE_TOO_BIG, "MODEL_PREDICT_ERROR", False),
        (EndCode.OPERATOR_CLOSED, "INTERNAL_SERVER_ERROR", False),
    ],
)
def test_an_end_without_an_answer_becomes_a_code(code: EndCode, expected: str, is_retried: bool) -> None:
    assert outcome_of_failure(code, "text") == Outcome(None, (expected, "text"), is_retried)


def test_a_webhook_is_told_in_the_form_of_the_original() -> None:
    assert json.loads(webhook_body(request(), b'{"a": 1}', 1.5)) == {
        "request_id": "r-1",
        "model_id": "m",
        "deployment_id": "d",
        "type": "async_request_completed",
        "time": "1970-01-01T00:00:01.500000Z",
        "data": {"a": 1},
        "errors": [{"code": "CODE", "message": 'text "quoted"'}],
    }
    assert json.loads(webhook_body(request(), None, 0))["data"] is None


def test_the_status_has_the_result_only_while_it_is_kept() -> None:
    one = request()
    told = json.loads(status_body(one, 100))
    assert told == {
        "request_id": "r-1",
        "model_id": "m",
        "deployment_id": "d",
        "status": "FAILED",
        "webhook_status": "PENDING",
        "created_at": time_text(105.5),
        "status_at": time_text(106.25),
        "errors": [{"code": "CODE", "message": 'text "quoted"'}],
    }
    one.result = b"[1]"
    assert json.loads(status_body(one, 100)) == {**told, "data": [1]}
