"""Errors of Penstock: one class per kind of cause, chosen by the table of `close_codes`.

PenstockError
├── ClientError              the request must change before it can succeed
│   ├── NotFoundError        no deployment at this address
│   └── AuthError            credentials missing, wrong, expired, or not enough
├── CapacityError            nobody was free to serve it; try again later
├── UpstreamError            the model, its replica or the way to it failed
├── LifecycleError           the stream was ended from outside: drain, age, silence, a lost connection
│   └── StreamClosedError    one of the two sides closed it
└── InternalError            a defect of Penstock
"""

from __future__ import annotations

from penstock.close_codes import EndCode, end


class PenstockError(Exception):
    """A stream or call ended otherwise than by a result."""

    def __init__(self, code: EndCode, *, close_code: int, reason: str, retryable: bool) -> None:
        super().__init__(code, close_code, reason, retryable)
        self.code = code
        self.close_code = close_code
        """WebSocket close code, as received or as the table has it; 1006 when the connection broke without one."""
        self.reason = reason
        """Text for people; may be empty."""
        self.retryable = retryable
        """The same request may succeed later, unchanged."""
        self.retry_after: float | None = None
        """Seconds after which the edge expects a retry to succeed; None when it said nothing."""

    def __str__(self) -> str:
        return f"{self.code} ({self.close_code})" + (f": {self.reason}" if self.reason else "")

    def __reduce__(self) -> tuple[object, ...]:
        arguments = (type(self), self.code, self.close_code, self.reason, self.retryable)
        return _rebuild, arguments, {"retry_after": self.retry_after}


class ClientError(PenstockError):
    """The client's request or message is at fault."""


class NotFoundError(ClientError):
    """No deployment is served at the address."""


class AuthError(ClientError):
    """The client may not do this, or did not prove who it is."""


class CapacityError(PenstockError):
    """No replica had room in time, or a limit on the rate was reached."""


class UpstreamError(PenstockError):
    """The model, its replica or the way to it failed."""


class LifecycleError(PenstockError):
    """The stream was ended by its surroundings, through no fault of a message."""


class StreamClosedError(LifecycleError):
    """The model or the client closed the stream."""


class InternalError(PenstockError):
    """A defect of Penstock."""


_CLASSES: dict[EndCode, type[PenstockError]] = {
    EndCode.COMPLETED: StreamClosedError,
    EndCode.MODEL_CLOSED: StreamClosedError,
    EndCode.CLIENT_CLOSED: StreamClosedError,
    EndCode.CLIENT_GONE: LifecycleError,
    EndCode.MODEL_ERROR: UpstreamError,
    EndCode.NOT_WEBSOCKET: ClientError,
    EndCode.PROTOCOL_ERROR: ClientError,
    EndCode.BAD_UTF8: ClientError,
    EndCode.MESSAGE_TOO_BIG: ClientError,
    EndCode.POLICY_VIOLATION: AuthError,
    EndCode.PING_TIMEOUT: LifecycleError,
    EndCode.IDLE_TIMEOUT: LifecycleError,
    EndCode.STREAM_TOO_OLD: LifecycleError,
    EndCode.OPERATOR_CLOSED: LifecycleError,
    EndCode.EDGE_DRAINING: LifecycleError,
    EndCode.REPLICA_DRAINING: LifecycleError,
    EndCode.REPLICA_LOST: UpstreamError,
    EndCode.REPLICA_FULL: CapacityError,
    EndCode.REPLICA_NOT_READY: CapacityError,
    EndCode.QUEUE_FULL: CapacityError,
    EndCode.QUEUE_TIMEOUT: CapacityError,
    EndCode.HANDSHAKE_TIMEOUT: UpstreamError,
    EndCode.REQUEST_TIMEOUT: UpstreamError,
    EndCode.BAD_UPGRADE: ClientError,
    EndCode.BAD_REQUEST: ClientError,
    EndCode.NOT_FOUND: NotFoundError,
    EndCode.UNAUTHENTICATED: AuthError,
    EndCode.PERMISSION_DENIED: AuthError,
    EndCode.RATE_LIMITED: CapacityError,
    EndCode.INTERNAL: InternalError,
}


def error_for(code: EndCode | str, close_code: int | None = None, reason: str | None = None) -> PenstockError:
    """Returns the error of `code`, with the close code and reason received, where there are any.

    A code that is not in the table (a newer peer's) becomes an InternalError with the close code and reason received.
    """
    row = end(code)
    return _CLASSES[row.code](
        row.code,
        close_code=row.close_code if close_code is None else close_code,
        reason=row.reason if reason is None else reason,
        retryable=row.retryable,
    )


def _rebuild(kind: type[PenstockError], code: EndCode, close_code: int, reason: str, retryable: bool) -> PenstockError:
    return kind(code, close_code=close_code, reason=reason, retryable=retryable)
