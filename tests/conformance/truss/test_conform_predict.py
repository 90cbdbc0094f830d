"""truss.md section 2.2: kinds of `predict`, `preprocess` and `postprocess`, their arguments, permits and results."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from penstock_testing.platform import Platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, JSON, ModelDoor

Door = Callable[[str], ModelDoor]
INTERNAL = "Internal Server Error (in model/chainlet)."


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True]}, [], "text", 7, None, {}, "Grüße 🌊"])
def test_any_json_value_goes_in_and_out(door: Door, value: Any) -> None:
    answer = door("sync-predict").call(value)

    assert (answer.status, answer.json()) == (200, value)
    assert answer.headers.get_content_type() == JSON


def test_load_is_called_before_predict(door: Door) -> None:
    assert door("sync-predict").predict({"text": "loud"}) == {"result": "LOUD"}


def test_sync_predict_runs_in_a_thread(door: Door) -> None:
    assert door("sync-predict").predict("thread") == {"on_main_thread": False}


def test_async_steps(door: Door) -> None:
    assert door("async-predict").predict({"x": 1})["echo"] == {"x": 1}


def test_preprocess_predict_and_postprocess_follow_one_another(door: Door) -> None:
    assert door("pre-and-post").predict({"value": 1}) == {
        "steps": ["preprocess", "predict", "postprocess"],
        "value": 19,
    }


def test_a_generator_is_handed_from_preprocess_to_predict_and_postprocess_streams(door: Door) -> None:
    with door("streaming-postprocess").stream({"words": [" a ", "b"]}) as streamed:
        assert streamed.rest() == [b"A\n", b"B\n"]


@pytest.mark.parametrize("value", ["generator", "response"])
def test_a_stream_cannot_go_through_postprocess(platform: Platform, door: Door, value: str) -> None:
    answer = door("generator-before-post").call(value)

    assert (answer.status, answer.code, answer.error) == (500, "600", INTERNAL)
    wait_until(lambda: "ModelDefinitionError" in platform.output(), ANSWER_SECONDS, "the log names the mistake")


def test_other_results_go_through_postprocess(door: Door) -> None:
    assert door("generator-before-post").predict("value") == {"post": "value"}


def test_predict_without_arguments(door: Door) -> None:
    assert "attempts" in door("retried-load").predict({"ignored": 1})


def test_predict_with_the_request_only_gets_the_body_unparsed(door: Door) -> None:
    answer = door("request-only").call(
        body=b"{not json", endpoint="predict?a=1&b=%20", headers={"X-Two": "2", "Content-Type": "text/plain"}
    )

    told = answer.json()
    assert (answer.status, told["body"], told["length"], told["method"]) == (200, "{not json", 9, "POST")
    assert (told["path"], told["query"], told["client"]) == ("/v1/models/model:predict", "a=1&b=%20", "127.0.0.1")
    assert ["x-two", "2"] in told["headers"]
    assert ["content-type", "text/plain"] in told["headers"]


def test_predict_with_inputs_and_request(door: Door) -> None:
    assert door("disconnects").predict({"do": "?"}) == {"connected": True}


def test_large_bodies_pass_both_ways(door: Door) -> None:
    value = "x" * (3 << 20)

    assert door("sync-predict").predict(value) == value


def test_as_many_calls_are_in_predict_at_once_as_there_are_permits(door: Door) -> None:
    model = door("async-predict")

    assert model.together(*[{"meet": 2, "within": ANSWER_SECONDS}] * 2) == [{"met": True}] * 2
    assert model.together(*[{"meet": 3, "within": 0.3}] * 3) == [{"met": False}] * 3
    assert model.predict("?")["most"] == 2


def test_a_generator_holds_its_permit_until_it_is_complete(door: Door) -> None:
    """`predict_concurrency` is 1, so the second call sees what the first yields last."""
    model = door("async-generator")
    with model.stream({"items": ["first"], "then": "wait"}) as streamed, ThreadPoolExecutor(1) as threads:
        assert streamed.chunk() == b"first"
        second = threads.submit(model.predict, {"tell": True})

        assert streamed.rest() == [b"late"]
        assert second.result(ANSWER_SECONDS) == {"produced": 2}


def test_a_generator_goes_on_while_its_client_does_not_read(door: Door) -> None:
    model = door("async-generator")
    with model.stream({"count": 64, "size": 64 << 10}) as streamed:
        assert streamed.chunk()

        assert model.predict({"tell": True}) == {"produced": 64}


def test_a_streaming_response_holds_its_permit_until_it_was_served(door: Door) -> None:
    model = door("passed-responses")
    with model.stream({"kind": "stream", "pause": 0.1}) as streamed, ThreadPoolExecutor(1) as threads:
        assert streamed.chunk() == b"0,0\n"
        second = threads.submit(model.predict, {"kind": "?"})

        assert len(streamed.rest()) == 2
        assert second.result(ANSWER_SECONDS) == {"open": False}


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "body"),
    [
        ("png", 200, "image/png", b"\x89PNG"),
        ("created", 201, JSON, b'{"id":1}'),
        ("empty", 204, None, b""),
        ("stream", 200, "text/csv; charset=utf-8", b"0,0\n1,1\n2,4\n"),
    ],
)
def test_a_response_of_the_model_passes_as_it_is(
    door: Door, kind: str, status: int, content_type: str | None, body: bytes
) -> None:
    answer = door("passed-responses").call({"kind": kind})

    assert (answer.status, answer.headers.get("Content-Type"), answer.body) == (status, content_type, body)
    assert answer.code is None


def test_headers_of_a_response_of_the_model_pass(door: Door) -> None:
    model = door("passed-responses")

    assert model.call({"kind": "png"}).headers["X-Seed"] == "7"
    assert model.call({"kind": "stream"}).headers["X-Rows"] == "3"
    cookies = model.call({"kind": "created"}).headers.get_all("Set-Cookie")
    assert cookies is not None
    assert [cookie.split(";")[0] for cookie in cookies] == ["seen=yes", "again=no"]


def test_a_response_from_300_on_gains_the_error_headers(door: Door) -> None:
    answer = door("passed-responses").call({"kind": "teapot"})

    assert (answer.status, answer.json(), answer.code, answer.source) == (418, {"tea": True}, "700", "04")


@pytest.mark.parametrize("body", [{"items": []}, {"items": ["a"], "then": "wait"}])
def test_openai_methods_take_no_permit(door: Door, body: dict[str, Any]) -> None:
    """`predict` holds the only permit until `chat_completions` was called."""
    model = door("openai-style")
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(model.predict, "hold")
        answer = model.call({"model": "m", **body}, endpoint="sync/v1/chat/completions")

        assert answer.json() == {"object": "chat.completion", "model": "m", "path": "/v1/chat/completions"}
        assert held.result(ANSWER_SECONDS) == "predicted"


def test_openai_methods_stream(door: Door) -> None:
    body = json.dumps({"model": "m", "stream": True}).encode()
    with door("openai-style").stream(body=body, endpoint="sync/v1/chat/completions") as streamed:
        assert streamed.headers.get_content_type() == "text/event-stream"
        assert streamed.rest() == [b"data: a\n\n", b"data: b\n\n", b"data: [DONE]\n\n"]


def test_openai_methods_may_be_sync_or_give_a_generator(door: Door) -> None:
    model = door("openai-style")

    assert model.call({"input": ["ab"]}, endpoint="sync/v1/embeddings").json() == {"data": [{"embedding": [2.0]}]}
    with model.stream({"prompt": "x y"}, endpoint="sync/v1/completions") as streamed:
        assert streamed.rest() == [b'data: "x"\n\n', b'data: "y"\n\n']


@pytest.mark.parametrize("path", ["messages", "responses"])
def test_an_openai_method_that_the_model_lacks_is_404(door: Door, path: str) -> None:
    answer = door("openai-style").call({}, endpoint=f"sync/v1/{path}")

    assert (answer.status, answer.code) == (404, "700")
