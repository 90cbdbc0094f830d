"""The input of a model's first step, from the body of a request."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from starlette.requests import Request

from penstock_runner.predict.codec import is_binary, unpack
from penstock_runner.predict.failures import BodyTooLarge, ClientGone, InputParsingError
from penstock_runner.predict.json_encoding import decode_json, is_model_class

ERRORS_SHOWN_MAX = 100
"""Lines of a validation's report. A list of a million wrong items must not be answered with a million lines."""


def input_annotation(method: Callable[..., Any]) -> type | None:
    """Returns the pydantic model that the first argument of a bound `method` is annotated with, or None.

    Annotations that are text, as under `from __future__ import annotations`, are resolved where the method was defined;
    what cannot be resolved counts as no model.
    """
    parameters = iter(inspect.signature(method).parameters.values())
    first = next(parameters, None)
    if first is None:
        return None
    annotation = first.annotation
    if isinstance(annotation, str):
        annotation = _resolved(annotation, method)
    return annotation if is_model_class(annotation) else None


async def read_inputs(request: Request, annotation: type | None, *, bytes_max: int) -> Any:
    """Reads the body, and returns its value: from msgpack or JSON by the Content-Type, validated by a pydantic model.

    The body stays readable through `request`.

    Args:
        annotation: A pydantic model, of version 1 or 2; None for the value as it came. See `input_annotation`.
        bytes_max: Of the body. Reading ends with the part that exceeds it.

    Raises:
        InputParsingError: The body is neither, or is not what `annotation` asks for.
        BodyTooLarge: The body has more than `bytes_max` bytes.
        ClientGone: The client left before its body was complete.
    """
    body = await read_body(request, bytes_max=bytes_max)
    if is_binary(request.headers.get("content-type")):
        try:
            inputs = unpack(body)
        except ValueError as exc:
            raise InputParsingError(f"Invalid msgpack payload: {exc}") from exc
    else:
        try:
            inputs = decode_json(body)
        except ValueError as exc:
            if annotation is not None:
                raise InputParsingError(f"Input Parsing Error:\n  `__root__`: {exc}.") from exc
            raise InputParsingError(f"Invalid JSON payload: {exc}") from exc
    return inputs if annotation is None else _validated(annotation, inputs)


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """Returns the whole body, which `request` then has as well. Raises BodyTooLarge and ClientGone as `read_inputs`."""
    known: bytes | None = getattr(request, "_body", None)
    if known is not None:
        return known
    receive = request.receive
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise BodyTooLarge(bytes_max)
        parts.append(part)
        if not message.get("more_body", False):
            break
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    # As Request.body does it, so that a model that takes the request, too, can read it again.
    request._body = body
    return body


def _validated(model: Any, inputs: Any) -> Any:
    validate = model.model_validate if hasattr(model, "model_validate") else model.parse_obj
    try:
        return validate(inputs)
    except RecursionError:
        raise InputParsingError("Input Parsing Error:\n  `__root__`: nested too deeply.") from None
    except ValueError as exc:
        if not callable(getattr(exc, "errors", None)):
            raise  # not of pydantic: the model's own code
        raise InputParsingError(_report(exc)) from exc


def _report(exc: Any) -> str:
    errors = exc.errors()
    lines = ["Input Parsing Error:" if len(errors) == 1 else "Input Parsing Errors:"]
    lines += (f"  `{_place(error['loc'])}`: {error['msg']}." for error in errors[:ERRORS_SHOWN_MAX])
    if len(errors) > ERRORS_SHOWN_MAX:
        lines.append(f"  … and {len(errors) - ERRORS_SHOWN_MAX} more.")
    return "\n".join(lines)


def _place(path: Iterable[str | int]) -> str:
    """Returns ("items", 1, "value") as `items[1].value`."""
    place = ""
    for step in path:
        if isinstance(step, int):
            place += f"[{step}]"
        else:
            place += f".{step}" if place else step
    return place


def _resolved(annotation: str, method: Callable[..., Any]) -> Any:
    # Alone: the other annotations of the method may name what only type checkers import.
    holder = SimpleNamespace(__annotations__={"inputs": annotation})
    owner = vars(type(getattr(method, "__self__", None)))  # a method's annotations see the names of its class
    try:
        return typing.get_type_hints(holder, globalns=_globals_of(method), localns=dict(owner))["inputs"]
    except Exception:  # the text is the author's: evaluating it may raise anything
        return None


def _globals_of(method: Callable[..., Any]) -> dict[str, Any]:
    function: Any = inspect.unwrap(method)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if not hasattr(function, "__globals__"):
        function = type(function).__call__
    return getattr(function, "__globals__", {})
