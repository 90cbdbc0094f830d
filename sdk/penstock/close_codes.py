"""The one table of how a stream can end, and how each peer learns of it.

Every end has one row: its stable code, the gRPC status, the HTTP status that answers a WebSocket upgrade which was not
yet accepted, the WebSocket close code, the reason text and whether the client may try again unchanged.
docs/close_codes.md is generated from this table (`make docs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

REASON_BYTES_MAX = 123
"""Longest close reason in bytes of UTF-8: RFC 6455 section 5.5 leaves 125 for code and reason."""

NO_STATUS = 1005
"""Stands for a close frame without a code (RFC 6455 section 7.1.5); never sent."""

ABNORMAL = 1006
"""Stands for a connection that ended without a close frame (RFC 6455 section 7.1.5); never sent."""


class EndCode(StrEnum):
    """Every way in which a stream can end."""

    COMPLETED = "COMPLETED"
    MODEL_CLOSED = "MODEL_CLOSED"
    CLIENT_CLOSED = "CLIENT_CLOSED"
    CLIENT_GONE = "CLIENT_GONE"
    MODEL_ERROR = "MODEL_ERROR"
    NOT_WEBSOCKET = "NOT_WEBSOCKET"
    PROTOCOL_ERROR = "PROTOCOL_ERROR"
    BAD_UTF8 = "BAD_UTF8"
    MESSAGE_TOO_BIG = "MESSAGE_TOO_BIG"
    POLICY_VIOLATION = "POLICY_VIOLATION"
    PING_TIMEOUT = "PING_TIMEOUT"
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    STREAM_TOO_OLD = "STREAM_TOO_OLD"
    OPERATOR_CLOSED = "OPERATOR_CLOSED"
    EDGE_DRAINING = "EDGE_DRAINING"
    REPLICA_DRAINING = "REPLICA_DRAINING"
    REPLICA_LOST = "REPLICA_LOST"
    REPLICA_FULL = "REPLICA_FULL"
    REPLICA_NOT_READY = "REPLICA_NOT_READY"
    QUEUE_FULL = "QUEUE_FULL"
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    HANDSHAKE_TIMEOUT = "HANDSHAKE_TIMEOUT"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    BAD_UPGRADE = "BAD_UPGRADE"
    BAD_REQUEST = "BAD_REQUEST"
    NOT_FOUND = "NOT_FOUND"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class End:
    """One row of the table."""

    code: EndCode
    grpc_status: str
    """Name of the gRPC status code."""
    http_status: int
    """Status of the HTTP answer while the upgrade is still open to refusal."""
    close_code: int
    """WebSocket close code after the upgrade."""
    reason: str
    """Close reason, and the text of the HTTP body; at most 123 bytes."""
    retryable: bool
    """The same request may succeed later, unchanged."""
    meaning: str
    """For people: when this end happens."""


def _row(
    code: EndCode, grpc: str, http: int, close: int, reason: str, meaning: str, *, retryable: bool = False
) -> tuple[EndCode, End]:
    return code, End(code, grpc, http, close, reason, retryable, meaning)


TABLE: dict[EndCode, End] = dict(
    (
        _row(EndCode.COMPLETED, "OK", 200, 1000, "", "the model's handler returned"),
        _row(EndCode.MODEL_CLOSED, "OK", 200, 1000, "", "the model closed the stream; its code and reason are kept"),
        _row(EndCode.CLIENT_CLOSED, "OK", 499, 1000, "", "the client closed the stream; its code and reason are kept"),
        _row(
            EndCode.CLIENT_GONE, "CANCELLED", 499, ABNORMAL, "", "the client's connection ended without a close frame"
        ),
        _row(
            EndCode.MODEL_ERROR,
            "INTERNAL",
            500,
            1011,
            "Internal Server Error (in model/chainlet).",
            "the model's handler raised an exception",
        ),
        _row(
            EndCode.NOT_WEBSOCKET,
            "UNIMPLEMENTED",
            501,
            1003,
            "WebSocket is not implemented on this deployment.",
            "the model has no websocket method",
        ),
        _row(
            EndCode.PROTOCOL_ERROR,
            "INVALID_ARGUMENT",
            400,
            1002,
            "Protocol error.",
            "the client broke the WebSocket protocol",
        ),
        _row(
            EndCode.BAD_UTF8,
            "INVALID_ARGUMENT",
            400,
            1007,
            "Text message is not valid UTF-8.",
            "a text message is not UTF-8",
        ),
        _row(
            EndCode.MESSAGE_TOO_BIG,
            "RESOURCE_EXHAUSTED",
            413,
            1009,
            "Message is larger than the limit.",
            "a message of the client or the model exceeds the limit of the deployment",
        ),
        _row(
            EndCode.POLICY_VIOLATION,
            "PERMISSION_DENIED",
            403,
            1008,
            "Policy violation.",
            "the stream broke a rule of the deployment, or its authorization ran out",
        ),
        _row(
            EndCode.PING_TIMEOUT,
            "DEADLINE_EXCEEDED",
            408,
            1011,
            "keepalive ping timeout",
            "the client did not answer a ping in time",
            retryable=True,
        ),
        _row(
            EndCode.IDLE_TIMEOUT,
            "DEADLINE_EXCEEDED",
            408,
            1001,
            "Idle for too long.",
            "no message in either direction for the idle time of the deployment",
            retryable=True,
        ),
        _row(
            EndCode.STREAM_TOO_OLD,
            "DEADLINE_EXCEEDED",
            408,
            1012,
            "Stream has reached its greatest age; connect again.",
            "the stream has reached the age limit of the deployment",
            retryable=True,
        ),
        _row(
            EndCode.OPERATOR_CLOSED,
            "UNAVAILABLE",
            503,
            1012,
            "Closed by an operator; connect again.",
            "an operator closed the stream; a code and reason of the operator's are kept",
            retryable=True,
        ),
        _row(
            EndCode.EDGE_DRAINING,
            "UNAVAILABLE",
            503,
            1012,
            "Edge is stopping; connect again.",
            "the edge stops and its grace has run out",
            retryable=True,
        ),
        _row(
            EndCode.REPLICA_DRAINING,
            "UNAVAILABLE",
            503,
            1012,
            "Replica is stopping; connect again.",
            "the replica stops and its grace has run out",
            retryable=True,
        ),
        _row(
            EndCode.REPLICA_LOST,
            "UNAVAILABLE",
            503,
            1014,
            "Replica was lost; connect again.",
            "the runner or the way to it broke",
            retryable=True,
        ),
        _row(
            EndCode.REPLICA_FULL,
            "RESOURCE_EXHAUSTED",
            503,
            1013,
            "No free slot; try again later.",
            "the replica has no free slot",
            retryable=True,
        ),
        _row(
            EndCode.REPLICA_NOT_READY,
            "UNAVAILABLE",
            503,
            1013,
            "Model is not ready; try again later.",
            "no replica is ready, and none may be waited for",
            retryable=True,
        ),
        _row(
            EndCode.QUEUE_FULL,
            "RESOURCE_EXHAUSTED",
            503,
            1013,
            "Too many streams are waiting; try again later.",
            "the waiting queue of the deployment is full",
            retryable=True,
        ),
        _row(
            EndCode.QUEUE_TIMEOUT,
            "DEADLINE_EXCEEDED",
            504,
            1013,
            "No replica became available in time; try again later.",
            "the stream waited for a slot for as long as the deployment allows",
            retryable=True,
        ),
        _row(
            EndCode.HANDSHAKE_TIMEOUT,
            "DEADLINE_EXCEEDED",
            408,
            1013,
            "Upgrade timed out.",
            "the replica did not answer the opening of the stream in time",
            retryable=True,
        ),
        _row(
            EndCode.REQUEST_TIMEOUT,
            "DEADLINE_EXCEEDED",
            504,
            1013,
            "Request timed out.",
            "the model did not begin to answer a request in time, or the client did not send it in time",
            retryable=True,
        ),
        _row(
            EndCode.BAD_UPGRADE,
            "INVALID_ARGUMENT",
            400,
            1002,
            "Not a valid WebSocket upgrade.",
            "the request is not a valid WebSocket upgrade",
        ),
        _row(
            EndCode.BAD_REQUEST,
            "INVALID_ARGUMENT",
            400,
            1008,
            "Not a valid request.",
            "a request cannot be understood, or its method is not allowed (405)",
        ),
        _row(
            EndCode.NOT_FOUND,
            "NOT_FOUND",
            404,
            1008,
            "No deployment is served at this address.",
            "no deployment answers to this path, host or name",
        ),
        _row(
            EndCode.UNAUTHENTICATED,
            "UNAUTHENTICATED",
            401,
            1008,
            "Credentials are missing or not valid.",
            "the client did not prove who it is",
        ),
        _row(
            EndCode.PERMISSION_DENIED,
            "PERMISSION_DENIED",
            403,
            1008,
            "Not allowed.",
            "the client may not use this deployment",
        ),
        _row(
            EndCode.RATE_LIMITED,
            "RESOURCE_EXHAUSTED",
            429,
            1008,
            "Rate limit exceeded; try again later.",
            "the client has too many streams or sends too much",
            retryable=True,
        ),
        _row(EndCode.INTERNAL, "INTERNAL", 500, 1011, "Internal error.", "a defect of Penstock"),
    )
)


def end(code: EndCode | str) -> End:
    """Returns the row of `code`; an unknown code (a newer peer's) gets the row of INTERNAL."""
    try:
        return TABLE[EndCode(code)]
    except ValueError:
        return TABLE[EndCode.INTERNAL]


def may_be_sent(close_code: int) -> bool:
    """Whether `close_code` may stand in a close frame (RFC 6455 section 7.4 and the IANA registry)."""
    return 3000 <= close_code <= 4999 or (1000 <= close_code <= 1014 and close_code not in (1004, NO_STATUS, ABNORMAL))


def clip_reason(reason: str) -> str:
    """Shortens `reason` to what fits a close frame, at a character boundary; what is no UTF-8 becomes "?"."""
    data = reason.encode("utf-8", "replace")
    return data[:REASON_BYTES_MAX].decode("utf-8", "ignore")
