"""How a chainlet answers when a call goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pydantic
import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from penstock.chains.remote.frames import error_frame
from penstock.chains.remote.rpc_errors import error_detail, error_status

ERRORS_SHOWN_MAX = 100
"""Lines of a validation's report. A list of a million wrong items must not be answered with a million lines."""

USER_FAILURES = (Exception, SystemExit, KeyboardInterrupt)
"""What user code may raise; the last two would end the process."""

_log = structlog.get_logger("runner")


def refused(exc: ValueError) -> Response:
    """Returns the answer to a body that is not what the endpoint takes: 400, with a text in the form of Truss."""
    body = json.dumps({"error": refusal_text(exc)}).encode()
    return Response(body, status_code=400, media_type="application/json")


def refusal_text(exc: ValueError) -> str:
    """Says what is wrong with the arguments, by name."""
    if not isinstance(exc, pydantic.ValidationError):
        return f"Input Parsing Error:\n  `__root__`: {exc}."
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    lines = ["Input Parsing Error:" if len(errors) == 1 else "Input Parsing Errors:"]
    lines += (f"  `{_place(error['loc'])}`: {error['msg']}." for error in errors[:ERRORS_SHOWN_MAX])
    if len(errors) > ERRORS_SHOWN_MAX:
        lines.append(f"  … and {len(errors) - ERRORS_SHOWN_MAX} more.")
    return "\n".join(lines)


def failed(exc: BaseException) -> HTTPException:
    """Returns what the runner answers and logs as the error of a chainlet: status and RemoteErrorDetail of `exc`."""
    headers = exc.headers if isinstance(exc, HTTPException) else None
    detail: Any = error_detail(exc).model_dump()
    return HTTPException(error_status(exc), detail, headers)


def failure_frame(exc: BaseException, *, is_logged: bool) -> bytes:
    """Returns the last message of a conversation or framed stream that `exc` has ended.

    Args:
        is_logged: whether the caller of this function sees to the log; otherwise it is done here.
    """
    detail = error_detail(exc)
    if not is_logged:
        _log.error("Chainlet raised Exception:", exception=detail.format())
    return error_frame(error_status(exc), detail.model_dump())


def is_cancelled(exc: BaseException) -> bool:
    """Whether somebody has cancelled this task. Otherwise user code has awaited something that was cancelled."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _place(path: Iterable[str | int]) -> str:
    """Returns ("items", 1, "value") as `items[1].value`."""
    place = ""
    for step in path:
        if isinstance(step, int):
            place += f"[{step}]"
        else:
            place += f".{step}" if place else step
    return place or "__root__"
