"""The types of an endpoint, made ready once for everything that encodes and decodes its calls."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import pydantic
import typing_extensions

from penstock.chains.description import EndpointDescription, EndpointKind

_CONFIG = pydantic.ConfigDict(arbitrary_types_allowed=True, ser_json_inf_nan="constants")
"""NaN and infinity stay what they are, as in the JSON that Python writes."""

KEPT_MAX = 1024
"""Endpoints whose types are kept: those that were asked for last."""


class ValueType:
    """One type: its validator and its serializer."""

    __slots__ = ("annotation", "serializer", "validator")

    def __init__(self, annotation: Any) -> None:
        """Raises pydantic.PydanticUserError, or one of its kin, if pydantic does not know what to do with the type."""
        try:
            adapter = pydantic.TypeAdapter(annotation, config=_CONFIG)
        except pydantic.errors.PydanticUserError as exc:
            if exc.code != "type-adapter-config-unused":
                raise
            adapter = pydantic.TypeAdapter(annotation)  # a model or a TypedDict, which has a configuration of its own
        adapter.rebuild(raise_errors=True)
        self.annotation = annotation
        # Not the adapter's own methods: they add half a microsecond each.
        self.validator = adapter.validator
        self.serializer = adapter.serializer


class EndpointTypes:
    """The types of one endpoint.

    Attributes:
        names: Names of the arguments that travel at once, in order; a stream of items is none of them.
        arguments: A dict by name, with what has a default in the callee left out or not.
        result: Type of the result, a tuple for several; None for streams and WebSockets.
        item: Type of the items that the callee sends; None where it sends none.
        input_item: Type of the items that the caller sends; None where it sends none.
    """

    def __init__(self, endpoint: EndpointDescription) -> None:
        plain = [argument for argument in endpoint.arguments if argument.item_type is None]
        self.names = tuple(argument.name for argument in plain)
        fields = {
            argument.name: typing_extensions.NotRequired[argument.annotation]
            if argument.is_optional
            else argument.annotation
            for argument in plain
        }
        kind = cast(Any, typing_extensions.TypedDict)("Arguments", fields)
        kind.__pydantic_config__ = _CONFIG  # pydantic's way to configure a TypedDict
        self.arguments = ValueType(kind)
        self.result: ValueType | None = None
        self.item: ValueType | None = None
        self.input_item: ValueType | None = None
        if endpoint.kind is EndpointKind.UNARY:
            self.result = ValueType(_result_annotation(endpoint))
        elif endpoint.kind in (EndpointKind.STREAM, EndpointKind.CONVERSATION):
            self.item = ValueType(endpoint.result_types[0])
        if (stream := endpoint.stream_argument) is not None:
            self.input_item = ValueType(stream.item_type)


class _ByIdentity:
    """A key that is equal to itself for the same object only: descriptions may hold defaults that have no hash."""

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: EndpointDescription) -> None:
        self.endpoint = endpoint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.endpoint is other.endpoint

    def __hash__(self) -> int:
        return id(self.endpoint)


@lru_cache(maxsize=KEPT_MAX)
def _made(key: _ByIdentity) -> EndpointTypes:
    return EndpointTypes(key.endpoint)


def types_of(endpoint: EndpointDescription) -> EndpointTypes:
    """Returns the types of `endpoint`, made at the first call for this object and kept; any thread may ask."""
    return _made(_ByIdentity(endpoint))


def _result_annotation(endpoint: EndpointDescription) -> Any:
    if endpoint.is_tuple:
        return tuple[endpoint.result_types]  # type: ignore[name-defined]  # made at run time
    return endpoint.result_types[0] if endpoint.result_types else None
