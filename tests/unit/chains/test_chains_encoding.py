"""Arguments, results and items as bytes, in the three content types."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import msgpack  # type: ignore[import-untyped]  # it comes without types
import numpy as np
import pydantic
import pytest

from penstock.chains.description import Argument, EndpointDescription, EndpointKind
from penstock.chains.pydantic_numpy import NumpyArrayField
from penstock.chains.remote.encoding import (
    CHAIN,
    JSON,
    MSGPACK,
    content_type_of,
    decode_arguments,
    decode_input_item,
    decode_item,
    decode_result,
    decode_value,
    encode_arguments,
    encode_input_item,
    encode_item,
    encode_result,
    encode_value,
    types_of,
)
from penstock.payloads.msgpack_codec import pack, unpack

ALL = pytest.mark.parametrize("content_type", [JSON, MSGPACK, CHAIN], ids=["json", "msgpack", "chain"])
BINARY = pytest.mark.parametrize("content_type", [MSGPACK, CHAIN], ids=["msgpack", "chain"])


class Color(Enum):
    RED = "red"


class Picture(pydantic.BaseModel):
    name: str
    pixels: NumpyArrayField
    color: Color = Color.RED
    taken: datetime | None = None


class Point(pydantic.BaseModel):
    x: float
    y: float = 2.0


def unary(result: Any = None, /, *, is_tuple: bool = False, **arguments: Any) -> EndpointDescription:
    given = tuple(Argument(name, annotation) for name, annotation in arguments.items())
    results = result if is_tuple else (result,)
    return EndpointDescription("run_remote", EndpointKind.UNARY, True, given, results, is_tuple)


def arguments_there(endpoint: EndpointDescription, values: dict[str, Any], content_type: str) -> dict[str, Any]:
    types = types_of(endpoint)
    return decode_arguments(types, b"".join(encode_arguments(types, values, content_type)), content_type)


def result_there(endpoint: EndpointDescription, value: Any, content_type: str) -> Any:
    types = types_of(endpoint)
    return decode_result(types, b"".join(encode_result(types, value, content_type)), content_type)


@ALL
def test_arguments_arrive_in_their_types(content_type: str) -> None:
    endpoint = unary(n=int, names=list[str], by_name=dict[str, Point], point=Point, flag=bool, nothing=None)
    values = {
        "n": 3,
        "names": ["a", "ü"],
        "by_name": {"p": Point(x=1)},
        "point": Point(x=float("nan")),
        "flag": True,
        "nothing": None,
    }
    if content_type == JSON:
        values["point"] = Point(x=1.5)  # a model's own NaN is null in JSON, as pydantic has it

    arrived = arguments_there(endpoint, values, content_type)

    assert repr(arrived) == repr(values)


@ALL
def test_a_model_with_an_array_arrives(content_type: str) -> None:
    pixels = np.arange(12, dtype="<i2").reshape(3, 4)
    picture = Picture(name="a", pixels=NumpyArrayField(pixels), taken=datetime(2026, 1, 2, tzinfo=UTC))

    arrived = arguments_there(unary(picture=Picture), {"picture": picture}, content_type)["picture"]

    assert isinstance(arrived, Picture)
    np.testing.assert_array_equal(arrived.pixels.array, pixels)
    assert arrived.pixels.array.dtype == np.dtype("<i2")
    assert (arrived.color, arrived.taken) == (Color.RED, picture.taken)


@ALL
def test_several_results_are_a_tuple(content_type: str) -> None:
    endpoint = unary((int, list[Point]), is_tuple=True)

    assert result_there(endpoint, (1, [Point(x=1)]), content_type) == (1, [Point(x=1, y=2)])


@ALL
def test_no_result_is_none(content_type: str) -> None:
    assert result_there(unary(), None, content_type) is None


@BINARY
def test_binary_keeps_what_json_cannot_say(content_type: str) -> None:
    endpoint = unary(data=bytes, by_number=dict[int, float], id=UUID)
    values = {"data": b"\xff\x00" * 5000, "by_number": {7: float("inf")}, "id": UUID(int=5)}

    assert arguments_there(endpoint, values, content_type) == values


def test_json_is_what_truss_reads_and_writes() -> None:
    types = types_of(unary((int, Point), is_tuple=True, a=int, p=Point))

    assert json.loads(b"".join(encode_arguments(types, {"a": 1, "p": Point(x=1)}, JSON))) == {
        "a": 1,
        "p": {"x": 1.0, "y": 2.0},
    }
    assert json.loads(b"".join(encode_result(types, (1, Point(x=1)), JSON))) == [1, {"x": 1.0, "y": 2.0}]


def test_binary_for_other_servers_is_msgpack_as_truss_has_it() -> None:
    types = types_of(unary(NumpyArrayField, a=NumpyArrayField))
    body = b"".join(encode_arguments(types, {"a": NumpyArrayField(np.zeros(2, "<f4"))}, MSGPACK))

    np.testing.assert_array_equal(unpack(body)["a"], np.zeros(2, "<f4"))
    np.testing.assert_array_equal(decode_result(types, pack(np.ones(2)), MSGPACK).array, np.ones(2))


def test_numbers_that_json_does_not_know_survive_json() -> None:
    assert repr(result_there(unary(list[float]), [float("nan"), float("-inf")], JSON)) == "[nan, -inf]"


def test_what_has_a_default_in_the_callee_may_be_left_out_and_none_may_be_said() -> None:
    arguments = (Argument("a", int), Argument("b", int, is_optional=True, default=5), Argument("c", None, True, None))
    types = types_of(EndpointDescription("run_remote", EndpointKind.UNARY, True, arguments, (int,)))

    assert decode_arguments(types, b'{"a": 1, "c": null}', JSON) == {"a": 1, "c": None}


@ALL
def test_no_body_is_no_arguments(content_type: str) -> None:
    assert decode_arguments(types_of(unary()), b"", content_type) == {}
    with pytest.raises(pydantic.ValidationError, match="Field required"):
        decode_arguments(types_of(unary(a=int)), b"", content_type)


@ALL
def test_values_are_checked_on_both_sides(content_type: str) -> None:
    text = types_of(unary(str, a=str))
    number = types_of(unary(int, a=int))

    with pytest.raises(pydantic.ValidationError):
        encode_arguments(number, {"a": "x"}, content_type)
    with pytest.raises(pydantic.ValidationError):
        encode_result(number, "x", content_type)
    with pytest.raises(pydantic.ValidationError):
        decode_arguments(number, b"".join(encode_arguments(text, {"a": "x"}, content_type)), content_type)
    with pytest.raises(pydantic.ValidationError):
        decode_result(number, b"".join(encode_result(text, "x", content_type)), content_type)


@pytest.mark.parametrize("name", ["json", "copy", "model_config", "schema", "_private", "self_", "validate"])
def test_an_argument_may_have_any_name(name: str) -> None:
    arguments: dict[str, Any] = {name: int}
    assert arguments_there(unary(**arguments), {name: 1}, JSON) == {name: 1}


def test_bytes_that_are_no_text_cannot_be_sent_as_json() -> None:
    with pytest.raises(ValueError, match="use `use_binary=True`"):
        encode_result(types_of(unary(bytes)), b"\xff", JSON)


@BINARY
def test_a_body_of_another_kind_is_a_value_error(content_type: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_result(types_of(unary(int)), b"{}", content_type)


@ALL
def test_items_go_both_ways_in_their_types(content_type: str) -> None:
    arguments = (Argument("rate", int), Argument("points", AsyncIterator[Point], item_type=Point))
    types = types_of(EndpointDescription("run_remote", EndpointKind.CONVERSATION, True, arguments, (str,)))

    assert types.names == ("rate",)
    sent = b"".join(encode_input_item(types, Point(x=1), content_type))
    assert decode_input_item(types, sent, content_type) == Point(x=1)
    assert decode_item(types, b"".join(encode_item(types, "word", content_type)), content_type) == "word"
    with pytest.raises(ValueError, match="the endpoint has no result"):
        encode_result(types, 1, content_type)


@ALL
def test_plain_values_need_no_type(content_type: str) -> None:
    body = b"".join(encode_value(None, {"a": [1, Point(x=1)], "b": None}, content_type))

    assert decode_value(None, body, content_type) == {"a": [1, {"x": 1.0, "y": 2.0}], "b": None}


def test_a_memoryview_is_a_body_too() -> None:
    assert decode_result(types_of(unary(int)), memoryview(b"7"), JSON) == 7
    assert decode_result(types_of(unary(int)), memoryview(msgpack.packb(7)), MSGPACK) == 7


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        (None, JSON),
        ("", JSON),
        ("text/plain", JSON),
        ("application/json; charset=utf-8", JSON),
        ("Application/Octet-Stream", MSGPACK),
        (CHAIN, CHAIN),
    ],
)
def test_a_header_means_one_of_three(header: str | None, meant: str) -> None:
    assert content_type_of(header) == meant
