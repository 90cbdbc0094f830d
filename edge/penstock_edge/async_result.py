"""What becomes of the model's answer to an asynchronous request: its result, or an error with a code; and the texts in
which clients and webhooks are told. Pure.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from penstock.close_codes import EndCode
from penstock_edge.async_queue import AsyncRequest

ERROR_TEXT_MAX = 4096
"""Characters of a model's error that are passed on."""

_RETRIED_STATUSES = frozenset({500, 502, 503, 504})

_OF_STATUS = {
    404: "MODEL_DOES_NOT_EXIST",
    502: "MODEL_UNAVAILABLE",
    503: "MODEL_UNAVAILABLE",
    504: "MODEL_PREDICT_TIMEOUT",
}
_OF_END = {
    EndCode.NOT_FOUND: "MODEL_DOES_NOT_EXIST",
    EndCode.REQUEST_TIMEOUT: "MODEL_PREDICT_TIMEOUT",
    EndCode.INTERNAL: "INTERNAL_SERVER_ERROR",
    EndCode.OPERATOR_CLOSED: "INTERNAL_SERVER_ERROR",
    EndCode.EDGE_DRAINING: "INTERNAL_SERVER_ERROR",
    EndCode.MODEL_ERROR: "MODEL_PREDICT_ERROR",
    EndCode.MESSAGE_TOO_BIG: "MODEL_PREDICT_ERROR",
}
_NOT_RETRIED = frozenset({EndCode.NOT_FOUND, EndCode.OPERATOR_CLOSED, EndCode.EDGE_DRAINING, EndCode.MESSAGE_TOO_BIG})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt has ended."""

    result: bytes | None
    """JSON; None when it failed."""
    error: tuple[str, str] | None
    """Code and text; None when it succeeded."""
    is_retried: bool = False
    """Another attempt may succeed."""


def outcome_of(status: int, content_type: str, body: bytes) -> Outcome:
    """Judges what the model has answered. A large body takes milliseconds: call it in a thread."""
    if status < 400:
        return Outcome(_as_json(content_type, body), None)
    code = _OF_STATUS.get(status, "MODEL_PREDICT_ERROR" if status >= 500 else "MODEL_INVALID_INPUT")
    text = _error_text(body) or f"The model answered with status {status}."
    return Outcome(None, (code, text[:ERROR_TEXT_MAX]), status in _RETRIED_STATUSES)


def outcome_of_failure(code: EndCode, text: str) -> Outcome:
    """Judges an attempt without an answer, or with one that was cut."""
    return Outcome(None, (_OF_END.get(code, "MODEL_UNAVAILABLE"), text), code not in _NOT_RETRIED)


def webhook_body(request: AsyncRequest, result: bytes | None, sent_at: float) -> bytes:
    """Returns what the webhook gets.

    Args:
        sent_at: seconds since 1970.
    """
    before = {
        "request_id": request.id,
        "model_id": request.model,
        "deployment_id": request.deployment_id,
        "type": "async_request_completed",
        "time": time_text(sent_at),
    }
    # The result is JSON as it is, and may be long.
    return b'%s, "data": %s, "errors": %s}' % (
        json.dumps(before).encode()[:-1],
        result if result is not None else b"null",
        json.dumps(_errors(request)).encode(),
    )


def status_body(request: AsyncRequest, offset_s: float) -> bytes:
    """Returns the answer to who asks for the status.

    Args:
        offset_s: what makes the request's times seconds since 1970.
    """
    fields: dict[str, Any] = {
        "request_id": request.id,
        "model_id": request.model,
        "deployment_id": request.deployment_id,
        "status": request.status,
        "webhook_status": request.webhook_status,
        "created_at": time_text(request.created_at + offset_s),
        "status_at": time_text(request.status_at + offset_s),
        "errors": _errors(request),
    }
    told = json.dumps(fields).encode()
    return told if request.result is None else b'%s, "data": %s}' % (told[:-1], request.result)


def time_text(seconds: float) -> str:
    """Returns a time in UTC, with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _errors(request: AsyncRequest) -> list[dict[str, str]]:
    return [{"code": code, "message": text} for code, text in request.errors]


def _as_json(content_type: str, body: bytes) -> bytes:
    """JSON stays as it is, text becomes a string, and anything else an object with its type and content."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            json.loads(body)
            body.decode()
        except (ValueError, RecursionError):
            media_type = "text/plain"
        else:
            return body
    if media_type.startswith("text/") or not body:
        return json.dumps(body.decode("utf-8", "replace")).encode() if body else b"null"
    return json.dumps({"content_type": content_type, "base64": base64.b64encode(body).decode()}).encode()


def _error_text(body: bytes) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    error = value.get("error") if isinstance(value, dict) else value
    return error if isinstance(error, str) else json.dumps(error) if error else ""
