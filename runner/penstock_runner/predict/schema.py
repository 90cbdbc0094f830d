"""The schema of a model's input and output, from the annotations of its methods (truss.md section 2.3)."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Union, get_args, get_origin

from penstock_runner.model.definition import ModelDefinition
from penstock_runner.predict.inputs import input_annotation
from penstock_runner.predict.json_encoding import is_model_class

_UNIONS = (Union, types.UnionType)


def make_schema(definition: ModelDefinition) -> dict[str, Any] | None:
    """Returns what `/v1/models/model/schema` answers; None when the annotations tell too little.

    The input is that of the first step, the output that of the last. Both must be annotated: the input with a pydantic
    model, the output with a model M, a generator, an awaitable of M, or a union of M (or an awaitable of it) and a
    generator.
    """
    own = getattr(getattr(definition.predict, "__self__", None), "penstock_schema", None)
    if own is not None:  # a chainlet, whose `predict` takes the request as it is
        schema: dict[str, Any] | None = own()
        return schema
    first = definition.preprocess or definition.predict
    last = definition.postprocess or definition.predict
    if first is None or last is None:
        return None
    model = input_annotation(first)
    output = _output(_returned(last))
    if model is None or output is None:
        return None
    output_model, supports_streaming = output
    return {
        "input_schema": _json_schema(model),
        "output_schema": None if output_model is None else _json_schema(output_model),
        "supports_streaming": supports_streaming,
    }


def _output(annotation: object) -> tuple[type | None, bool] | None:
    """Returns the model of the output, if any, and whether it can be a stream; None when it tells neither."""
    model = _model(annotation)
    if model is not None:
        return model, False
    if _is_generator(annotation):
        return None, True
    arms = get_args(annotation) if get_origin(annotation) in _UNIONS else ()
    models = [model for arm in arms if (model := _model(arm)) is not None]
    if len(arms) == 2 and len(models) == 1 and any(map(_is_generator, arms)):
        return models[0], True
    return None


def _model(annotation: Any) -> type | None:
    if get_args(annotation) and _is_a(annotation, Awaitable):
        annotation = get_args(annotation)[-1]  # of a Coroutine the third, of an Awaitable the only one
    return annotation if is_model_class(annotation) else None


def _is_generator(annotation: object) -> bool:
    # Pydantic models are iterable too, over their fields.
    if is_model_class(annotation) or (get_origin(annotation) or annotation) in (str, bytes, list, dict, tuple, set):
        return False
    return _is_a(annotation, Iterable) or _is_a(annotation, AsyncIterable)


def _is_a(annotation: object, kind: type) -> bool:
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, kind)


def _returned(method: Callable[..., Any]) -> Any:
    function = inspect.unwrap(method)
    annotation = getattr(function, "__annotations__", {}).get("return")
    if not isinstance(annotation, str):
        return annotation
    # Alone: the other annotations of the method may name what only type checkers import.
    holder = types.SimpleNamespace(__annotations__={"return": annotation})
    try:
        return typing.get_type_hints(holder, globalns=getattr(function, "__globals__", {}))["return"]
    except Exception:  # the text is the author's: evaluating it may raise anything
        return None


def _json_schema(model: Any) -> Any:
    make = getattr(model, "model_json_schema", None) or model.schema
    return make()
