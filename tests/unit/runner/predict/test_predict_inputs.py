"""The input of a model's first step (truss.md sections 2.2 and 2.4)."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import pytest
from pydantic import BaseModel, Field, RootModel, field_validator, model_validator, v1
from starlette.exceptions import HTTPException
from starlette.requests import Request

from penstock_runner.predict import inputs as inputs_module
from penstock_runner.predict.codec import pack
from penstock_runner.predict.failures import BodyTooLarge, ClientGone, InputParsingError
from penstock_runner.predict.inputs import input_annotation, read_body, read_inputs

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]  # a name that only type checkers see

BINARY = "application/octet-stream"


class Item(BaseModel):
    value: int


class Order(BaseModel):
    name: str
    items: list[Item] = Field(default_factory=list)


class OldOrder(v1.BaseModel):
    name: str
    items: list[int] = []


class Words(RootModel[list[str]]):
    pass


def request_of(*parts: bytes, content_type: str | None = "application/json", ends: bool = True) -> Request:
    """A request whose body comes in `parts`; without `ends` the client leaves behind them."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        messages[-1]["more_body"] = False
    messages.append({"type": "http.disconnect"})
    replies = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(replies)

    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


def read(request: Request, annotation: type | None = None, bytes_max: int = 1000) -> Any:
    return asyncio.run(read_inputs(request, annotation, bytes_max=bytes_max))


def refused(body: bytes, annotation: type | None = None, content_type: str = "application/json") -> str:
    with pytest.raises(InputParsingError) as caught:
        read(request_of(body, content_type=content_type), annotation, bytes_max=10_000_000)
    return str(caught.value)


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_body_is_json_unless_it_says_otherwise(content_type: str | None) -> None:
    assert read(request_of(b'{"a": [1]}', content_type=content_type)) == {"a": [1]}


@pytest.mark.parametrize("content_type", [BINARY, "Application/OCTET-STREAM; x=y"])
def test_octet_stream_is_msgpack(content_type: str) -> None:
    inputs = read(request_of(pack({"a": np.arange(3)}), content_type=content_type))

    assert inputs["a"].tolist() == [0, 1, 2]


def test_body_comes_in_parts() -> None:
    assert read(request_of(b'{"a"', b"", b": 1}", b"")) == {"a": 1}


def test_body_can_be_read_again_through_the_request() -> None:
    async def main() -> None:
        request = request_of(b"[1,", b" 2]")
        await read_inputs(request, None, bytes_max=100)

        assert await request.body() == b"[1, 2]"
        assert await request.json() == [1, 2]
        assert await read_body(request, bytes_max=100) == b"[1, 2]"

    asyncio.run(main())


def test_body_that_the_model_has_read_before_is_taken_from_the_request() -> None:
    async def main() -> None:
        request = request_of(b"[1]")
        await request.body()

        assert await read_inputs(request, None, bytes_max=100) == [1]

    asyncio.run(main())


def test_body_of_the_largest_size_is_read() -> None:
    assert read(request_of(b"[1,", b"23]"), bytes_max=6) == [1, 23]


def test_body_above_the_limit_is_not_read_to_its_end() -> None:
    async def main() -> None:
        request = request_of(b"1234", b"5678", b"9")

        with pytest.raises(BodyTooLarge, match="limit of 7 bytes"):
            await read_body(request, bytes_max=7)
        assert (await request.receive())["body"] == b"9"

    asyncio.run(main())


def test_client_that_leaves_within_its_body_is_gone() -> None:
    with pytest.raises(ClientGone, match="Client disconnected while reading request"):
        read(request_of(b"[1,", ends=False))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Invalid JSON payload: Expecting value: line 1 column 1 (char 0)"),
        (b"{", "Invalid JSON payload: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[" * 100_000, "Invalid JSON payload: nested too deeply"),
        (b'"\xff"', "Invalid JSON payload: 'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"),
    ],
    ids=["empty", "cut", "deep", "not-utf-8"],
)
def test_bad_json_is_told_as_truss_tells_it(body: bytes, text: str) -> None:
    assert refused(body) == text


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x92\x01", pack({"a": 1}) + b"\x00", b"\x91" * 100_000])
def test_bad_msgpack_is_refused(body: bytes) -> None:
    assert refused(body, content_type=BINARY).startswith("Invalid msgpack payload: ")


@pytest.mark.parametrize("body", [b"", b"{"])
@pytest.mark.parametrize("model", [Order, OldOrder])
def test_bad_json_for_a_model_names_its_root(body: bytes, model: type) -> None:
    assert refused(body, model).startswith("Input Parsing Error:\n  `__root__`: Expecting ")


def test_input_of_a_model_is_validated() -> None:
    order = read(request_of(b'{"name": "a", "items": [{"value": "3"}]}'), Order)

    assert order == Order(name="a", items=[Item(value=3)])


def test_msgpack_for_a_model_is_validated() -> None:
    order = read(request_of(pack({"name": "a", "items": [{"value": 3}]}), content_type=BINARY), Order)

    assert order == Order(name="a", items=[Item(value=3)])


def test_model_of_pydantic_1_is_validated() -> None:
    order = read(request_of(b'{"name": "a", "items": ["3"]}'), OldOrder)

    assert isinstance(order, OldOrder)
    assert order.items == [3]
    assert refused(b"{}", OldOrder) == "Input Parsing Error:\n  `name`: field required."


def test_root_model_takes_a_list() -> None:
    assert read(request_of(b'["a"]'), Words).root == ["a"]


def test_one_wrong_field_is_named_with_its_place() -> None:
    assert refused(b'{"name": "a", "items": [{"value": 1}, {"value": "x"}]}', Order) == (
        "Input Parsing Error:\n"
        "  `items[1].value`: Input should be a valid integer, unable to parse string as an integer."
    )


def test_several_wrong_fields_are_all_named() -> None:
    assert refused(b'{"items": 5}', Order) == (
        "Input Parsing Errors:\n  `name`: Field required.\n  `items`: Input should be a valid list."
    )


def test_value_of_the_wrong_kind_has_no_place() -> None:
    assert refused(b"[]", Order) == (
        "Input Parsing Error:\n  ``: Input should be a valid dictionary or instance of Order."
    )


def test_report_of_many_errors_has_a_limit() -> None:
    lines = refused(json.dumps({"name": "a", "items": [{}] * 1000}).encode(), Order).splitlines()

    assert len(lines) == inputs_module.ERRORS_SHOWN_MAX + 2
    assert lines[-1] == "  … and 900 more."


class Node(v1.BaseModel):
    child: Optional[Node] = None  # noqa: UP045  # pydantic 1 cannot read the new form


Node.update_forward_refs()


class Tree(BaseModel):
    child: Tree | None = None


@pytest.mark.parametrize("model", [Node, Tree])
@pytest.mark.parametrize("content_type", ["application/json", BINARY])
def test_model_inside_itself_is_refused_beyond_a_depth(model: type, content_type: str) -> None:
    value: dict[str, Any] | None = None
    for _ in range(400):
        value = {"child": value}
    body = json.dumps(value).encode() if content_type != BINARY else pack(value)

    assert refused(body, model, content_type).startswith("Input Parsing Error:\n")


def test_what_a_models_own_validator_raises_is_its_own() -> None:
    class Strict(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def check(cls, value: Any) -> Any:
            raise HTTPException(422, "no")

    with pytest.raises(HTTPException):
        read(request_of(b"{}"), Strict)


def test_message_of_a_models_own_validator_is_told() -> None:
    class Strict(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def check(cls, value: int) -> int:
            raise ValueError("must be odd")

    assert refused(b'{"a": 2}', Strict) == "Input Parsing Error:\n  `a`: Value error, must be odd."


class Model:
    class Inner(BaseModel):
        value: int

    def inner(self, inputs: Inner) -> str:
        return ""

    def annotated(self, inputs: Order) -> str:
        return ""

    def old(self, inputs: OldOrder, request: Request) -> str:
        return ""

    def root(self, inputs: Words) -> str:
        return ""

    def quoted(self, inputs: "Order") -> str:  # noqa: UP037  # a model's author may quote under the future import, too
        return ""

    def other_names_unknown(self, inputs: Order, more: Unknown | None = None) -> Unknown:
        return ""

    def unknown(self, inputs: Unknown) -> None: ...
    def optional(self, inputs: Order | None) -> None: ...
    def generic(self, inputs: dict[str, Any]) -> None: ...
    def bare(self, inputs) -> None: ...  # type: ignore[no-untyped-def]  # as models are often written
    def nothing(self) -> None: ...
    def request_only(self, request: Request) -> None: ...


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("annotated", Order),
        ("old", OldOrder),
        ("root", Words),
        ("inner", Model.Inner),
        ("quoted", Order),
        ("other_names_unknown", Order),
        ("unknown", None),
        ("optional", None),
        ("generic", None),
        ("bare", None),
        ("nothing", None),
        ("request_only", None),
    ],
)
def test_model_of_the_input_is_found_by_its_annotation(name: str, expected: type | None) -> None:
    assert input_annotation(getattr(Model(), name)) is expected


def test_model_is_found_behind_decorators_and_in_callables() -> None:
    elsewhere: dict[str, Any] = {"wraps": functools.wraps}
    exec("def decorated(method):\n    return wraps(method)(lambda *args: method(*args))", elsewhere)
    decorated: Callable[..., Any] = elsewhere["decorated"]

    class Wrapped:
        @decorated
        def predict(self, inputs: Order) -> None: ...

    class Called:
        def __call__(self, inputs: Order) -> None: ...

    assert input_annotation(Wrapped().predict) is Order
    assert input_annotation(Called()) is Order
    assert input_annotation(functools.partial(Model.annotated, Model())) is Order


def test_model_is_found_without_text_annotations() -> None:
    def predict(inputs: Any) -> None: ...

    predict.__annotations__["inputs"] = Order

    assert input_annotation(predict) is Order
