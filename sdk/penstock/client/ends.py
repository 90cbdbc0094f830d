"""What the end of a stream means to the client: from close codes, refusals and gRPC statuses to one value. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from penstock.close_codes import ABNORMAL, NO_STATUS, TABLE, EndCode, end
from penstock.errors import LifecycleError, PenstockError, error_for

NORMAL = 1000


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended."""

    code: EndCode
    close_code: int
    reason: str
    detail: str = ""
    """For people: what the client saw, where the reason does not tell."""

    @property
    def is_normal(self) -> bool:
        """Whether iteration over the stream ends without an error."""
        return self.code is EndCode.CLIENT_CLOSED or self.close_code in (NORMAL, NO_STATUS)

    def error(self) -> PenstockError:
        """A new exception for this end."""
        if self.code is EndCode.CLIENT_GONE:
            return connection_lost(self.reason or self.detail)
        return error_for(self.code, self.close_code, self.reason)


class StreamEnded(Exception):
    """The stream has ended; `end` says how. Stays inside the client."""

    def __init__(self, end: StreamEnd) -> None:
        super().__init__(end)
        self.end = end


# Close codes of rows whose reason text a peer may have changed. A model may close with any of these itself, so the text
# decides first; this only picks the class of the error.
_BY_CLOSE_CODE: dict[int, EndCode] = {
    1001: EndCode.EDGE_DRAINING,
    1002: EndCode.PROTOCOL_ERROR,
    1007: EndCode.BAD_UTF8,
    1008: EndCode.POLICY_VIOLATION,
    1009: EndCode.MESSAGE_TOO_BIG,
    1011: EndCode.MODEL_ERROR,
    1012: EndCode.EDGE_DRAINING,
    1013: EndCode.REPLICA_FULL,
    1014: EndCode.REPLICA_LOST,
}

_WITH_REASON = [row for row in TABLE.values() if row.reason]

# For answers that are not the edge's own, such as those of a proxy in front of it.
_BY_HTTP_STATUS: dict[int, EndCode] = {
    401: EndCode.UNAUTHENTICATED,
    403: EndCode.PERMISSION_DENIED,
    404: EndCode.NOT_FOUND,
    408: EndCode.HANDSHAKE_TIMEOUT,
    413: EndCode.MESSAGE_TOO_BIG,
    429: EndCode.RATE_LIMITED,
    501: EndCode.NOT_WEBSOCKET,
    502: EndCode.REPLICA_LOST,
    503: EndCode.REPLICA_NOT_READY,
    504: EndCode.QUEUE_TIMEOUT,
}

# For gRPC statuses without our detail: those that the gRPC library makes itself.
_BY_GRPC_STATUS: dict[str, EndCode] = {
    "OK": EndCode.COMPLETED,
    "CANCELLED": EndCode.EDGE_DRAINING,
    "INVALID_ARGUMENT": EndCode.PROTOCOL_ERROR,
    "DEADLINE_EXCEEDED": EndCode.HANDSHAKE_TIMEOUT,
    "NOT_FOUND": EndCode.NOT_FOUND,
    "PERMISSION_DENIED": EndCode.PERMISSION_DENIED,
    "UNAUTHENTICATED": EndCode.UNAUTHENTICATED,
    "UNIMPLEMENTED": EndCode.NOT_WEBSOCKET,
    "UNAVAILABLE": EndCode.CLIENT_GONE,
}


def end_of_close_frame(close_code: int, reason: str) -> StreamEnd:
    """The end that a close frame of the edge states; the frame has no room for the code, so the table is searched."""
    if close_code in (NORMAL, NO_STATUS):
        return StreamEnd(EndCode.MODEL_CLOSED if reason else EndCode.COMPLETED, close_code, reason)
    # The edge may have added a detail to the text of the table.
    stated = (row.code for row in _WITH_REASON if row.close_code == close_code and reason.startswith(row.reason))
    code = next(stated, None) or _BY_CLOSE_CODE.get(close_code, EndCode.MODEL_CLOSED)
    return StreamEnd(code, close_code, reason)


def end_of_local_close(close_code: int, reason: str) -> StreamEnd:
    """The end when this side has closed the stream; `close_code` is the one that counts in the end."""
    return StreamEnd(EndCode.CLIENT_CLOSED, close_code, reason)


def end_of_lost_connection(detail: str) -> StreamEnd:
    """The end when the connection broke without a close frame."""
    return StreamEnd(EndCode.CLIENT_GONE, ABNORMAL, "", detail)


def end_of_grpc_status(
    status: str, message: str, *, code: str = "", close_code: int = 0, is_open: bool = True
) -> StreamEnd:
    """The end that a gRPC status states.

    Args:
        status: Name of the gRPC status code.
        message: The status's text.
        code: Our code from the status's details; empty when there are no details.
        close_code: The close code that the model, or the details, name; 0 when neither does.
        is_open: Whether the stream had been accepted.
    """
    if code:
        row = end(code)
    elif status == "RESOURCE_EXHAUSTED":
        # gRPC itself answers so to a message beyond its size limit, which only an open stream can send.
        row = end(EndCode.MESSAGE_TOO_BIG if is_open else EndCode.REPLICA_FULL)
    else:
        row = end(_BY_GRPC_STATUS.get(status, EndCode.INTERNAL))
    return StreamEnd(row.code, close_code or row.close_code, message, message)


def refusal_of_http(status: int, retry_after: str | None, body: bytes) -> PenstockError:
    """The error for an upgrade that was answered with `status`; `retry_after` is that header's value."""
    text, code = _edge_refusal(body)
    if code is None:
        fallback = EndCode.INTERNAL if status >= 500 else EndCode.BAD_UPGRADE
        code = _BY_HTTP_STATUS.get(status, fallback)
        text = f"the upgrade was answered with HTTP {status}"
    return with_retry_after(error_for(code, None, text or None), retry_after)


def with_retry_after(error: PenstockError, seconds: str | None) -> PenstockError:
    """Sets `error.retry_after` to whole seconds, or None when `seconds` is absent or a date (RFC 9110 10.2.3)."""
    error.retry_after = float(seconds) if seconds is not None and seconds.isascii() and seconds.isdigit() else None
    return error


def connection_lost(reason: str) -> PenstockError:
    """The error when there is no connection to the edge, or none any more."""
    return LifecycleError(EndCode.CLIENT_GONE, close_code=ABNORMAL, reason=reason, retryable=True)


def _edge_refusal(body: bytes) -> tuple[str, EndCode | None]:
    """Text and code of the edge's JSON body; ("", None) when `body` is something else."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(fields, dict) or not isinstance(fields.get("code"), str):
        return "", None
    text = fields.get("error")
    return text if isinstance(text, str) else "", end(fields["code"]).code
