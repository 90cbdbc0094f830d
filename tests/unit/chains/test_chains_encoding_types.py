"""Types of an endpoint, made once."""

from __future__ import annotations

import pydantic
import pytest

from penstock.chains.description import Argument, EndpointDescription, EndpointKind
from penstock.chains.remote.encoding_types import KEPT_MAX, EndpointTypes, ValueType, types_of


def endpoint(kind: EndpointKind, *arguments: Argument, results: tuple[object, ...] = (str,)) -> EndpointDescription:
    return EndpointDescription("run_remote", kind, True, arguments, results)


def test_types_are_made_once_for_each_endpoint() -> None:
    one = endpoint(EndpointKind.UNARY, Argument("a", int, default=[1]))
    same_text = endpoint(EndpointKind.UNARY, Argument("a", int, default=[1]))

    assert types_of(one) is types_of(one)
    assert types_of(one) is not types_of(same_text)


def test_only_so_many_endpoints_are_kept() -> None:
    first = endpoint(EndpointKind.WEBSOCKET, results=())
    types = types_of(first)

    for _ in range(KEPT_MAX):
        types_of(endpoint(EndpointKind.WEBSOCKET, results=()))

    assert types_of(first) is not types


def test_each_kind_has_what_it_sends() -> None:
    frames = Argument("frames", object, item_type=bytes)

    unary = EndpointTypes(endpoint(EndpointKind.UNARY, Argument("a", int)))
    stream = EndpointTypes(endpoint(EndpointKind.STREAM, Argument("a", int)))
    conversation = EndpointTypes(endpoint(EndpointKind.CONVERSATION, frames, Argument("a", int)))
    websocket = EndpointTypes(endpoint(EndpointKind.WEBSOCKET, results=()))

    assert [unary.result is None, unary.item is None, unary.input_item is None] == [False, True, True]
    assert [stream.result is None, stream.item is None, stream.input_item is None] == [True, False, True]
    assert [conversation.result is None, conversation.item is None] == [True, False]
    assert conversation.input_item is not None and conversation.input_item.annotation is bytes
    assert [websocket.result, websocket.item, websocket.names] == [None, None, ()]
    assert conversation.names == unary.names == ("a",)


def test_models_keep_their_own_configuration() -> None:
    class Strict(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")

    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        ValueType(Strict).validator.validate_python({"a": 1})


def test_a_type_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(pydantic.PydanticUndefinedAnnotation):
        ValueType("NoSuchType")
