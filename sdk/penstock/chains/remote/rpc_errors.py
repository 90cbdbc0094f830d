"""Errors that go from a chainlet to its caller, over any number of hops.

A chainlet that fails answers with an HTTP status and `{"error": RemoteErrorDetail}`. Its caller raises the same class
again where it knows it, with a text that shows every hop, the root at the bottom.
"""

from __future__ import annotations

import builtins
import json
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

import pydantic
from starlette.exceptions import HTTPException

from penstock.chains.remote.stack_frames import user_frames
from penstock.chains.remote.trace import trace_id
from penstock.close_codes import EndCode, end
from penstock.errors import CapacityError, LifecycleError, PenstockError, error_for

MESSAGE_LENGTH_MAX = 32 * 1024
"""Longest text of an exception that goes to a caller, in characters. The middle of a longer one is left out."""

FRAMES_MAX = 100
"""Most frames of a stack that go to a caller: the last ones."""

_SUB_EXCEPTIONS_MAX = 10
_TREE_TITLE = "(showing chained remote errors, root error at the bottom)"
_GATEWAY_STATUSES = (502, 503, 504)


class GenericRemoteException(Exception):
    """A chainlet failed with an exception whose class is not known here, or cannot be made from a text."""


class StackFrame(pydantic.BaseModel):
    """One line of a stack."""

    filename: str
    lineno: int | None
    name: str
    line: str | None

    @classmethod
    def from_frame_summary(cls, frame: traceback.FrameSummary) -> StackFrame:
        """Returns the frame in the form that travels."""
        return cls(filename=frame.filename, lineno=frame.lineno, name=frame.name, line=frame.line)

    def to_frame_summary(self) -> traceback.FrameSummary:
        """Returns the frame in the form that Python formats. Reads no file."""
        return traceback.FrameSummary(
            filename=self.filename, lineno=self.lineno, name=self.name, line=self.line or "", lookup_line=False
        )


class RemoteErrorDetail(pydantic.BaseModel):
    """What a caller learns of an exception in a chainlet.

    Attributes:
        exception_cls_name: Name of its class.
        exception_module_name: Module of its class; None for one of Python itself.
        exception_message: Its text.
        user_stack_trace: Frames of the user's code only, outermost first.
    """

    exception_cls_name: str
    exception_module_name: str | None
    exception_message: str
    user_stack_trace: list[StackFrame]

    def format(self) -> str:
        """Returns the error as text, much as Python prints an exception with its stack."""
        stack = traceback.StackSummary.from_list([frame.to_frame_summary() for frame in self.user_stack_trace])
        lines = ["Chainlet-Traceback (most recent call last):\n", *stack.format()]
        lines.append(f"{self.exception_cls_name}: {self.exception_message}")
        if self.exception_module_name:
            lines.append(f"\n(Exception class defined in `{self.exception_module_name}`.)")
        return "".join(lines)


RemoteErrorDetail.StackFrame = StackFrame  # type: ignore[attr-defined]  # upstream's name for it, which users may have


def error_detail(exc: BaseException) -> RemoteErrorDetail:
    """Returns what a caller may know of `exc`: its class, its text, and the user's frames. Never raises."""
    kind = type(exc)
    module: object = kind.__module__  # a class that was made at run time may have anything here
    return RemoteErrorDetail(
        exception_cls_name=kind.__name__,
        exception_module_name=module if isinstance(module, str) and module != "builtins" else None,
        exception_message=_shortened(_message(exc)),
        user_stack_trace=[StackFrame.from_frame_summary(frame) for frame in user_frames(exc)[-FRAMES_MAX:]],
    )


def error_response(exc: BaseException) -> tuple[int, dict[str, Any]]:
    """Returns the HTTP status and the JSON object with which a chainlet answers when `exc` has ended a call."""
    return error_status(exc), {"error": error_detail(exc).model_dump()}


def error_status(exc: BaseException) -> int:
    """Returns the HTTP status of `exc`: that of an HTTPException, 502 to 504 where the platform failed, else 500."""
    if isinstance(exc, HTTPException):
        status = exc.status_code
        return int(status) if isinstance(status, int) and 400 <= status <= 599 else 500
    if isinstance(exc, PenstockError):
        return _gateway_status(exc)
    return 500


def raise_remote(status: int, body: bytes | memoryview, headers: Mapping[str, str], chainlet_name: str) -> NoReturn:
    """Raises what the response of a failed call says.

    Args:
        status: HTTP status of the response.
        body: JSON, as error_response has it; whatever another server sends instead is said as it is.
        headers: Of the response, by name in lower case.
        chainlet_name: Display name of the chainlet that was called.

    Raises:
        Exception: The class that the callee raised, if it is loaded here and takes a text; HTTPException with `status`;
            PenstockError where the platform failed behind the callee.
        GenericRemoteException: Any other error that the callee describes.
        ValueError: The response describes no error.
    """
    base = f"Error calling dependency Chainlet `{chainlet_name}`, HTTP status={status}, trace ID=`{trace_id()}`."
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError) as exc:
        raise ValueError(base) from exc
    try:
        error = document["error"]
    except (KeyError, TypeError, IndexError) as exc:
        raise ValueError(f"{base}. Could not get `error` field from JSON response.") from exc
    if isinstance(error, str):
        raise GenericRemoteException(f"{base}: {error!r}")
    try:
        detail = RemoteErrorDetail.model_validate(error)
    except pydantic.ValidationError as exc:
        raise ValueError(
            f"{base}: Could not parse chainlet error. Error details are expected to be either a plain string (old truss"
            f" models) or a serialized `RemoteErrorDetail`, got:\n{_shortened(str(error))}"
        ) from exc
    raise _same_exception(detail, status, tree_message(base, detail)) from None


def tree_message(base: str, detail: RemoteErrorDetail) -> str:
    """Returns `base` and the error below it as a branch of a tree; what an inner hop wrote is a branch of its own."""
    first, *middle, last = detail.format().split("\n")
    middle_lines = [f"│   {line}" if line else "│" for line in (first, *middle)]
    return "\n".join([_TREE_TITLE, f"├─ {base}", *middle_lines, f"╰   {last}"])


def _same_exception(detail: RemoteErrorDetail, status: int, message: str) -> Exception:
    kind = _known_class(detail)
    try:
        if issubclass(kind, HTTPException):
            made: Any = kind(status_code=status, detail=message)
        elif issubclass(kind, PenstockError):
            # Its code stands at the head of its text.
            made = error_for(EndCode(detail.exception_message.partition(" ")[0]), reason=message)
        else:
            made = kind(message)
    except Exception:  # what a class does with its arguments is its own matter
        is_http = issubclass(kind, HTTPException)
        return HTTPException(status_code=status, detail=message) if is_http else GenericRemoteException(message)
    return made if isinstance(made, Exception) else GenericRemoteException(message)


def _known_class(detail: RemoteErrorDetail) -> type[Exception]:
    """Returns the class that `detail` names if it is loaded and an exception's; nothing is imported for it."""
    module: object = builtins
    if detail.exception_module_name not in (None, "builtins"):
        module = sys.modules.get(str(detail.exception_module_name))
    found = getattr(module, "__dict__", {}).get(detail.exception_cls_name)
    if not isinstance(found, type) or not issubclass(found, Exception):
        return GenericRemoteException
    if issubclass(found, pydantic.ValidationError | StopIteration | StopAsyncIteration):
        return GenericRemoteException  # the first is not made from a text, the others would end a coroutine otherwise
    return found


def _gateway_status(exc: PenstockError) -> int:
    status = end(exc.code).http_status
    if status in _GATEWAY_STATUSES:
        return status
    if exc.code in (EndCode.REQUEST_TIMEOUT, EndCode.QUEUE_TIMEOUT, EndCode.HANDSHAKE_TIMEOUT):
        return 504
    return 503 if isinstance(exc, CapacityError | LifecycleError) else 502


def _message(exc: BaseException) -> str:
    try:
        text = str(exc)
        if type(exc) is KeyError and exc.args and _is_tree(exc.args[0]):
            text = exc.args[0]  # `str` would put all of it into one line, and quote it once more with each hop
    except (Exception, SystemExit, KeyboardInterrupt) as fault:  # an exception of the user's whose text cannot be made
        return f"(its text cannot be shown: {type(fault).__name__})"
    if not isinstance(exc, BaseExceptionGroup):
        return text
    shown = exc.exceptions[:_SUB_EXCEPTIONS_MAX]
    lines = [f"{type(inner).__name__}: {_message(inner)}".replace("\n", "\n  ") for inner in shown]
    return "\n  ".join([text, *lines])


def _is_tree(text: object) -> bool:
    return isinstance(text, str) and text.startswith(_TREE_TITLE)


def _shortened(text: str) -> str:
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair has no place in JSON or logs
    if len(text) <= MESSAGE_LENGTH_MAX:
        return text
    half = MESSAGE_LENGTH_MAX // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
