"""The schema of a chainlet's arguments and result, in the form of a Truss server (truss.md section 2.3)."""

from __future__ import annotations

from typing import Any, Optional

import pydantic

from penstock.chains.description import ChainletDescription, EndpointKind


def make_schema(description: ChainletDescription) -> dict[str, Any] | None:
    """Returns the schema; None for a WebSocket or a conversation, and where a type has none in JSON."""
    endpoint = description.endpoint
    if endpoint is None or endpoint.kind not in (EndpointKind.UNARY, EndpointKind.STREAM):
        return None
    name = description.chainlet.__name__
    is_stream = endpoint.kind is EndpointKind.STREAM
    try:
        return {
            "input_schema": _input_model(name, description).model_json_schema(),
            "output_schema": None if is_stream else _output_model(name, description).model_json_schema(),
            "supports_streaming": is_stream,
        }
    except pydantic.errors.PydanticUserError:
        return None


def _input_model(name: str, description: ChainletDescription) -> type[pydantic.BaseModel]:
    assert description.endpoint is not None
    fields: dict[str, Any] = {
        argument.name: (Optional[argument.annotation], None)  # noqa: UP045  # made at run time, of any annotation
        if argument.is_optional
        else (argument.annotation, ...)
        for argument in description.endpoint.arguments
    }
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    return pydantic.create_model(f"{name}Input", __config__=config, **fields)


def _output_model(name: str, description: ChainletDescription) -> type[pydantic.BaseModel]:
    assert description.endpoint is not None
    types = description.endpoint.result_types
    result: Any = types[0] if types else None
    if description.endpoint.is_tuple:
        result = tuple[types]  # type: ignore[valid-type]  # made at run time
    made: type[pydantic.BaseModel] = type(f"{name}Output", (pydantic.RootModel[result],), {})
    return made
