"""Checks of a model object against the contract of Truss (truss.md sections 1.1, 2.2 and 2.7)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from penstock_runner.model.errors import ModelDefinitionError

PREDICT_METHODS = ("preprocess", "predict", "postprocess")
EXTRA_METHODS = ("chat_completions", "completions", "embeddings", "messages", "responses")
"""Methods in the style of OpenAI, each with a path of its own. Every kind of model may have them."""


class InputKind(Enum):
    """What a method of a model takes besides self."""

    NONE = "nothing"
    INPUTS_ONLY = "inputs"
    REQUEST_ONLY = "request"
    INPUTS_AND_REQUEST = "inputs and request"


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """The methods by which a model can be called, bound; those that it does not have are None."""

    websocket: Callable[..., Any] | None
    preprocess: Callable[..., Any] | None
    predict: Callable[..., Any] | None
    postprocess: Callable[..., Any] | None
    is_healthy: Callable[..., Any] | None = None
    chat_completions: Callable[..., Any] | None = None
    completions: Callable[..., Any] | None = None
    embeddings: Callable[..., Any] | None = None
    messages: Callable[..., Any] | None = None
    responses: Callable[..., Any] | None = None


def check_model(model: object) -> ModelDefinition:
    """Returns the methods of `model`, an instance of the user's class.

    Raises:
        ModelDefinitionError: It has both kinds of methods, none, or one with a wrong signature.
    """
    methods = {name: _method(model, name) for name in ("websocket", *PREDICT_METHODS, "is_healthy", *EXTRA_METHODS)}
    definition = ModelDefinition(**methods)
    _check_health(definition.is_healthy)
    _check_load(model)
    for name in EXTRA_METHODS:
        method = methods[name]
        if method is not None:
            input_kind(method, name)
    if definition.websocket is not None:
        others = [name for name in PREDICT_METHODS if methods[name] is not None]
        if others:
            raise ModelDefinitionError(
                "Truss model cannot have both a `websocket` method and `predict`, `preprocess` or `postprocess`. "
                f"Found besides `websocket`: {_quoted(others)}. Remove one kind, or make two models."
            )
        _check_websocket(definition.websocket)
        return definition
    if definition.predict is None:
        raise ModelDefinitionError(f"Truss model `{type(model).__name__}` must have a `predict` or `websocket` method.")
    _check_predict(definition)
    return definition


def input_kind(method: Callable[..., Any], name: str) -> InputKind:
    """Tells by its signature what `method` takes.

    Raises:
        ModelDefinitionError: The signature is none that Truss knows.
    """
    parameters = list(_signature(method, name).parameters.values())
    if not parameters:
        return InputKind.NONE
    if len(parameters) == 1:
        return InputKind.REQUEST_ONLY if _is_request(parameters[0]) else InputKind.INPUTS_ONLY
    if len(parameters) > 2:
        names = _quoted([parameter.name for parameter in parameters])
        raise ModelDefinitionError(f"`{name}` cannot have more than two arguments. Found: {names}.")
    first, second = parameters
    if _is_request(first):
        raise ModelDefinitionError(
            f"`{name}` with two arguments must take the request as the second: "
            f"`{name}(self, inputs, request: Request)`."
        )
    if second.annotation is inspect.Parameter.empty:
        raise ModelDefinitionError(
            f"The second argument of `{name}`, `{second.name}`, is unannotated; it must be a request: "
            f"`{second.name}: fastapi.Request`."
        )
    if not _is_request(second):
        raise ModelDefinitionError(
            f"The second argument of `{name}`, `{second.name}`, must be annotated as `fastapi.Request`, "
            f"not {second.annotation!r}."
        )
    return InputKind.INPUTS_AND_REQUEST


def _check_websocket(method: Callable[..., Any]) -> None:
    parameters = list(_signature(method, "websocket").parameters.values())
    if len(parameters) != 1 or _is_request(parameters[0]):
        found = ", ".join(str(parameter) for parameter in parameters)
        raise ModelDefinitionError(
            "`websocket` must have only one argument: `websocket`. "
            f"Found: ({found}). Write `async def websocket(self, websocket)`."
        )
    if not inspect.iscoroutinefunction(method):
        hint = "; it may not `yield`" if inspect.isasyncgenfunction(method) else ""
        raise ModelDefinitionError(
            "`websocket` methods must be async function definitions: "
            f"write `async def websocket(self, websocket)`{hint}."
        )


def _check_predict(definition: ModelDefinition) -> None:
    assert definition.predict is not None
    predict_kind = input_kind(definition.predict, "predict")
    if definition.preprocess is not None:
        input_kind(definition.preprocess, "preprocess")
        if predict_kind is InputKind.REQUEST_ONLY:
            raise ModelDefinitionError(
                "When `preprocess` is defined, `predict` may not be request-only: "
                "it must take the result of `preprocess`."
            )
    if (
        definition.postprocess is not None
        and input_kind(definition.postprocess, "postprocess") is InputKind.REQUEST_ONLY
    ):
        raise ModelDefinitionError("`postprocess` may not be request-only: it must take the result of `predict`.")


def _check_health(method: Callable[..., Any] | None) -> None:
    if method is not None and _signature(method, "is_healthy").parameters:
        raise ModelDefinitionError("`is_healthy` must have no arguments other than `self`.")


def _check_load(model: object) -> None:
    method = _method(model, "load")
    if method is None:
        return
    required = [
        parameter.name
        for parameter in _signature(method, "load").parameters.values()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    if required:
        raise ModelDefinitionError(f"`load` must have no arguments other than `self`. Found: {_quoted(required)}.")
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise ModelDefinitionError("`load` must not be async: write `def load(self)`. It runs in a thread of its own.")


def _method(model: object, name: str) -> Callable[..., Any] | None:
    method = getattr(model, name, None)
    if method is not None and not callable(method):
        raise ModelDefinitionError(f"`{name}` must be a method, got {type(method).__name__}.")
    return method


def _signature(method: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(method)
    except (TypeError, ValueError) as exc:
        # A method without any argument, not even self, ends here, too.
        raise ModelDefinitionError(
            f"`{name}` must be a method with `self` as its first argument; its arguments cannot be read: {exc}."
        ) from None


def _is_request(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if isinstance(annotation, str):
        # `from __future__ import annotations` leaves the text; evaluating it fails for names that only checkers see.
        return annotation.strip("\"'").rsplit(".", 1)[-1] == "Request"
    # Starlette is imported late: a model that is only checked needs no server.
    from starlette.requests import Request

    return isinstance(annotation, type) and issubclass(annotation, Request)


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
