"""What a model returned, as a response (truss.md section 2.2)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, field_serializer, v1
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from penstock_runner.predict.codec import pack, unpack
from penstock_runner.predict.failures import ServerFault
from penstock_runner.predict.responses import encode_item, is_response, render


class Answer(BaseModel):
    text: str
    score: float = 0.5


class OldAnswer(v1.BaseModel):
    text: str


def sent(response: Response) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body as an ASGI server gets them."""
    messages: list[Any] = []

    async def main() -> None:
        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            messages.append(message)

        await response({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)

    asyncio.run(main())
    assert [message["type"] for message in messages] == ["http.response.start", "http.response.body"]
    return messages[0]["status"], dict(messages[0]["headers"]), messages[1]["body"]


@pytest.mark.parametrize("value", [{"a": [1, None]}, [], "é", 5, 0.5, True, None, (1, 2)])
def test_value_is_sent_as_the_json_of_truss(value: Any) -> None:
    body = json.dumps(value).encode()

    assert sent(render(value, binary=False)) == (
        200,
        {b"content-type": b"application/json", b"content-length": str(len(body)).encode()},
        body,
    )


def test_numpy_is_tolerated_in_json() -> None:
    assert render({"a": np.arange(2), "b": np.float32(0.5)}, binary=False).body == b'{"a": [0, 1], "b": 0.5}'


@pytest.mark.parametrize(
    ("model", "text"), [(Answer(text="é"), '{"text":"é","score":0.5}'), (OldAnswer(text="a"), '{"text": "a"}')]
)
def test_model_is_sent_as_the_json_it_makes_of_itself(model: Any, text: str) -> None:
    status, headers, body = sent(render(model, binary=False))

    assert (status, body.decode()) == (200, text)
    assert headers == {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}


def test_answer_to_msgpack_is_msgpack() -> None:
    status, headers, body = sent(render({"a": np.arange(2)}, binary=True))

    assert (status, headers[b"content-type"]) == (200, b"application/octet-stream")
    assert unpack(body)["a"].tolist() == [0, 1]


@pytest.mark.parametrize("model", [Answer(text="a", score=1), OldAnswer(text="a")])
def test_model_in_msgpack_is_a_map(model: Any) -> None:
    assert unpack(bytes(render(model, binary=True).body))["text"] == "a"


def test_bytes_in_msgpack_are_sent_as_they_are() -> None:
    assert render(pack({"a": 1}), binary=True).body == pack({"a": 1})


@pytest.mark.parametrize("binary", [False, True])
def test_own_response_is_passed_through(binary: bool) -> None:
    response = PlainTextResponse("hi", status_code=201, headers={"x-own": "1"})

    assert render(response, binary=binary) is response
    assert sent(response)[1].keys() == {b"content-length", b"content-type", b"x-own"}


@pytest.mark.parametrize(
    "response", [JSONResponse({}, status_code=404), RedirectResponse("/x"), Response(status_code=300)]
)
def test_own_response_of_300_or_above_gains_the_error_headers(response: Response) -> None:
    render(response, binary=False)

    assert response.headers["X-BASETEN-ERROR-SOURCE"] == "04"
    assert response.headers["X-BASETEN-ERROR-CODE"] == "700"


def test_own_response_below_300_stays_without() -> None:
    response = Response(status_code=299)

    render(response, binary=False)

    assert "x-baseten-error-code" not in response.headers


@pytest.mark.parametrize("value", [{"a": {1}}, b"x", object(), {(1, 2): 3}, [10**5000]], ids=lambda v: type(v).__name__)
def test_result_without_a_form_in_json_is_a_fault(value: Any) -> None:
    with pytest.raises(ServerFault, match=r"^Unhandled exception: (TypeError|ValueError): "):
        render(value, binary=False)


@pytest.mark.parametrize("value", [{1}, 2**70, "\ud800", np.array([None])], ids=repr)
def test_result_without_a_form_in_msgpack_is_a_fault(value: Any) -> None:
    with pytest.raises(ServerFault, match=r"^Unhandled exception: (TypeError|UnicodeEncodeError): "):
        render([value], binary=True)


@pytest.mark.parametrize("binary", [False, True])
def test_result_that_is_nested_too_deeply_is_a_fault(binary: bool) -> None:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]

    with pytest.raises(ServerFault, match="recursion"):
        render(value, binary=binary)
    while value:
        value = value.pop()  # the interpreter of Python 3.11 frees it no deeper than its own stack goes


@pytest.mark.parametrize("binary", [False, True])
def test_what_a_models_own_serializer_raises_is_no_fault_of_the_server(binary: bool) -> None:
    class Broken(BaseModel):
        a: int

        @field_serializer("a")
        def write(self, value: int) -> int:
            raise RuntimeError("secret")

    with pytest.raises(Exception, match="secret") as caught:
        render(Broken(a=1), binary=binary)
    assert not isinstance(caught.value, ServerFault)


@pytest.mark.parametrize(
    ("item", "data"),
    [
        (b"raw", b"raw"),
        (bytearray(b"raw"), b"raw"),
        (memoryview(b"raw"), b"raw"),
        ("é", b"\xc3\xa9"),
        ("", b""),
        ({"a": np.int64(1)}, b'{"a": 1}'),
        (5, b"5"),
        (None, b"null"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_items_are_bytes_text_or_json(item: Any, data: bytes) -> None:
    encoded = encode_item(item)

    assert type(encoded) is bytes
    assert encoded == data


@pytest.mark.parametrize("item", [{1}, "\ud800"], ids=repr)
def test_item_without_a_form_raises(item: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode_item(item)


def test_responses_are_told_from_values() -> None:
    assert is_response(StreamingResponse(iter(())))
    assert not is_response({})
    assert not is_response(Response)
