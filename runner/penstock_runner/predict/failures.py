"""How a request of a predict model fails, and what its caller is told (truss.md section 2.4).

A body is always `{"error": …}`. The text of an exception of the model's code goes to the log only.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from penstock_runner.model.errors import ModelDefinitionError
from penstock_runner.model.loaded import TRACEBACK_LENGTH_MAX, format_user_traceback
from penstock_runner.predict.json_encoding import encode_json

ERROR_SOURCE = "04"
"""Value of X-BASETEN-ERROR-SOURCE: the model server."""
CODE_SERVER = "500"
"""Value of X-BASETEN-ERROR-CODE: a defect of the server, or a result that cannot be sent."""
CODE_MODEL = "600"
"""The model's code, or its state."""
CODE_CLIENT = "700"
"""The request."""

MODEL_ERROR_MESSAGE = "Internal Server Error (in model/chainlet)."

_log = structlog.get_logger("runner")


class InputParsingError(ValueError):
    """The body of the request is not what the model takes; the text is for the caller."""


class BodyTooLarge(InputParsingError):
    """The body of the request exceeds the limit; 413 instead of 400."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"Request body exceeds the limit of {bytes_max} bytes.")


class ModelNotReady(RuntimeError):
    """The model is not loaded, or says that it is not healthy."""

    def __init__(self, name: str = "model") -> None:
        super().__init__(f"Model with name {name} is not ready.")


class ModelMissing(LookupError):
    """There is no model of that name; the text is the name."""


class MethodNotImplemented(Exception):
    """The model has no method for this path; the text is for the caller."""


class ClientGone(Exception):
    """The client has left, and the rest of the work is not done.

    Args:
        step: The step of the model that is skipped; None when the body was still being read.
    """

    def __init__(self, step: str | None = None) -> None:
        skipped = f"Client disconnected, skipping `{step}`."
        super().__init__("Client disconnected while reading request." if step is None else skipped)


class UserCodeError(Exception):
    """The model's code is at fault, and its caller learns no more than that. Wraps the exception for the log."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class ServerFault(Exception):
    """Serving failed outside of the model's code. Type and text of the wrapped exception go to the caller."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"Unhandled exception: {type(error).__name__}: {error}")
        self.error = error


def failure_response(
    exc: BaseException, *, model_file: Path, request_headers: Mapping[str, str] | None = None
) -> Response:
    """Returns what the caller gets for `exc`, and logs what the model's author has to know. Never raises.

    An exception that is none of this module, no ModelDefinitionError, and no HTTPException of starlette (or fastapi)
    counts as one of the model's code.

    Args:
        model_file: Absolute. A traceback in the log begins with its last frame.
        request_headers: Of the request; its id goes into the log.
    """
    request_id = None if request_headers is None else request_headers.get("x-baseten-request-id")
    log = _log if request_id is None else _log.bind(request_id=request_id)
    try:
        if isinstance(exc, HTTPException):
            return _http_exception(exc, model_file, log)
        for kind, status, code in _ROWS:
            if isinstance(exc, kind):
                return _own_failure(exc, status, code, log)
        if isinstance(exc, UserCodeError):
            exc = exc.error
        return _model_error(exc, model_file, log)
    except Exception as fault:  # an attribute or text of the model's exception that raises
        log.error(MODEL_ERROR_MESSAGE, reason=f"{type(exc).__name__}, which cannot be shown: {type(fault).__name__}")
        return _error_response(500, MODEL_ERROR_MESSAGE, CODE_MODEL)


def add_error_headers(response: Response) -> None:
    """Marks a response that the model has made itself as an error, if its status is 300 or above."""
    if response.status_code >= 300:
        response.headers["x-baseten-error-source"] = ERROR_SOURCE
        response.headers["x-baseten-error-code"] = CODE_CLIENT


def model_traceback(exc: BaseException, model_file: Path) -> str:
    """Formats the traceback of `exc` from the last frame of the model's file on; all but our frames if it has none."""
    original = last = exc.__traceback__
    frame, name = original, str(model_file)
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == name:
            last = frame
        frame = frame.tb_next
    exc.__traceback__ = last
    try:
        return format_user_traceback(exc, model_file)
    finally:
        exc.__traceback__ = original


_ROWS: tuple[tuple[type[Exception], int, str], ...] = (
    (BodyTooLarge, 413, CODE_CLIENT),
    (InputParsingError, 400, CODE_CLIENT),
    (ModelNotReady, 503, CODE_MODEL),
    (ModelMissing, 404, CODE_MODEL),
    (MethodNotImplemented, 404, CODE_CLIENT),
    (ModelDefinitionError, 412, CODE_MODEL),
    (ClientGone, 499, CODE_MODEL),
    (ServerFault, 500, CODE_SERVER),
)
"""Status and X-BASETEN-ERROR-CODE of each failure. The first that fits counts: BodyTooLarge is an InputParsingError."""


def _own_failure(exc: BaseException, status: int, code: str, log: Any) -> Response:
    text = str(exc)
    if isinstance(exc, ModelDefinitionError):
        text = f"{type(exc).__name__}: {text}"
        log.error(text)
    elif isinstance(exc, ServerFault):
        log.error(text)
    elif isinstance(exc, ClientGone):
        log.warning(text)
    return _error_response(status, text, code)


def _model_error(exc: BaseException, model_file: Path, log: Any) -> Response:
    log.error(MODEL_ERROR_MESSAGE, exception=model_traceback(exc, model_file))
    return _error_response(500, MODEL_ERROR_MESSAGE, CODE_MODEL)


def _http_exception(exc: HTTPException, model_file: Path, log: Any) -> Response:
    status = exc.status_code
    if not isinstance(status, int) or not 200 <= status <= 599:
        log.error("HTTPException with a status that cannot be sent", status=str(status))
        return _model_error(exc, model_file, log)
    chained = _chained_error(exc.detail)
    if chained is not None:
        log.error("Chainlet raised Exception:", exception=chained)
    else:
        log.error("Model raised HTTPException", status=int(status), exception=model_traceback(exc, model_file))
    return _error_response(status, exc.detail, CODE_MODEL, _sendable(exc.headers))


def _chained_error(detail: object) -> str | None:
    """Formats the error that a chainlet sends to its caller; None when `detail` is no such error."""
    if not isinstance(detail, dict) or "user_stack_trace" not in detail:
        return None
    try:
        stack = traceback.StackSummary.from_list(
            [
                traceback.FrameSummary(
                    str(frame["filename"]), frame["lineno"], str(frame["name"]), lookup_line=False, line=frame["line"]
                )
                for frame in detail["user_stack_trace"]
            ]
        )
        text = "Chainlet-Traceback (most recent call last):\n" + "".join(stack.format())
        text += f"{detail['exception_cls_name']}: {detail['exception_message']}"
        if detail.get("exception_module_name"):
            text += f"\n(Exception class defined in `{detail['exception_module_name']}`.)"
    except Exception:  # the detail only looks like one: it is shown as any other
        return None
    return text[:TRACEBACK_LENGTH_MAX]


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OF_THE_BODY = frozenset({"content-length", "content-type", "content-encoding", "transfer-encoding", "connection"})
"""Headers that would contradict the body that is sent."""


def _sendable(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {
        name: value
        for name, value in (headers or {}).items()
        if _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value) and name.lower() not in _OF_THE_BODY
    }


def _error_response(status: int, detail: object, code: str, headers: Mapping[str, str] | None = None) -> Response:
    own = {"x-baseten-error-source": ERROR_SOURCE, "x-baseten-error-code": code}
    kept = {name: value for name, value in (headers or {}).items() if name.lower() not in own}
    if status in (204, 205, 304):  # no body may follow
        return Response(status_code=status, headers={**kept, **own})
    return Response(
        _error_body(detail), status_code=status, headers={**kept, **own, "content-type": "application/json"}
    )


def _error_body(detail: object) -> bytes:
    try:
        return json.dumps({"error": detail}, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError):
        pass  # numpy, NaN, half a surrogate pair, or nothing for JSON at all
    try:
        return encode_json({"error": detail})
    except (TypeError, ValueError, RecursionError):
        return encode_json({"error": MODEL_ERROR_MESSAGE})
