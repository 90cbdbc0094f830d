"""A model for HTTP, called over gRPC: bytes and content type in and out, typed errors."""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc
import msgpack  # type: ignore[import-untyped]  # it comes without types
import pytest

from penstock_testing.truss_conformance import JSON, MSGPACK, GrpcDoor, error_body

Door = Callable[[str], GrpcDoor]


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def test_predict_takes_and_gives_json(grpc_door: Door) -> None:
    response = grpc_door("sync-predict").predict(body({"text": "a"}))

    assert (json.loads(response.body), response.content_type, response.status) == ({"result": "A"}, JSON, 200)


def test_predict_takes_and_gives_messagepack(grpc_door: Door) -> None:
    response = grpc_door("binary-numpy").predict(msgpack.packb({"x": b"y"}), MSGPACK)

    assert (msgpack.unpackb(response.body), response.content_type) == ({"x": b"y"}, MSGPACK)


def test_predict_reaches_other_paths_of_the_model(grpc_door: Door) -> None:
    response = grpc_door("openai-style").predict(body({"model": "m"}), path="/v1/chat/completions")

    assert json.loads(response.body)["path"] == "/v1/chat/completions"


def test_predict_gathers_a_stream(grpc_door: Door) -> None:
    response = grpc_door("async-generator").predict(body({"items": ["a", "b"]}))

    assert (response.body, response.status) == (b"ab", 200)


def test_predict_stream_gives_item_by_item(grpc_door: Door) -> None:
    responses = grpc_door("async-generator").predict_stream(body({"items": ["a", "b", "c"]}))

    assert [response.body for response in responses if response.body] == [b"a", b"b", b"c"]
    assert (responses[0].status, responses[0].content_type) == (200, "application/octet-stream")
    assert {response.status for response in responses[1:]} == {0}


def test_predict_stream_gives_a_plain_result_as_one_item(grpc_door: Door) -> None:
    (response,) = grpc_door("sync-predict").predict_stream(body({"text": "a"}))

    assert json.loads(response.body) == {"result": "A"}


@pytest.mark.parametrize(
    ("model", "value", "code", "status", "error"),
    [
        ("failing", {"kind": "raise"}, grpc.StatusCode.INTERNAL, 500, "Internal Server Error (in model/chainlet)."),
        ("failing", {"kind": "fastapi"}, grpc.StatusCode.INVALID_ARGUMENT, 422, "too many tokens"),
        ("failing", {"kind": "starlette"}, grpc.StatusCode.RESOURCE_EXHAUSTED, 429, {"retry": 7}),
    ],
)
def test_an_error_of_the_model_is_typed_and_has_its_body(
    grpc_door: Door, model: str, value: object, code: grpc.StatusCode, status: int, error: object
) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        grpc_door(model).predict(body(value))

    assert failed.value.code() is code
    told = error_body(failed.value)
    assert (told.status, json.loads(told.body), told.content_type) == (status, {"error": error}, JSON)


def test_bad_input_is_an_invalid_argument(grpc_door: Door) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        grpc_door("pydantic-io").predict(body({}))

    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert b"`prompt`" in error_body(failed.value).body


def test_a_stream_that_stalls_ends_with_an_error(grpc_door: Door) -> None:
    with pytest.raises(grpc.RpcError):
        grpc_door("async-generator").predict_stream(body({"items": ["a"], "then": "stall"}))


def test_an_unknown_model_is_not_found(grpc_door: Door) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        grpc_door("nobody").predict(b"{}")

    assert failed.value.code() is grpc.StatusCode.NOT_FOUND
