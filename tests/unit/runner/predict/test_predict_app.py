"""The server of a model's own, through ASGI (truss.md sections 2.2 to 2.7 and 5)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import fastapi
import msgpack  # type: ignore[import-untyped] # it comes without types
import pydantic
import pytest
import structlog

from penstock_runner.predict import app as app_module
from penstock_runner.predict.failures import MODEL_ERROR_MESSAGE
from penstock_testing.asgi_call import Answer, AsgiCall, ask, echo, generate, loaded, make_app
from penstock_testing.client_side import pass_time
from penstock_testing.virtual_time import run_virtual

LIMIT_S = 10.0


async def websocket(self: object, websocket: Any) -> None: ...


def test_predict_answers_in_json() -> None:
    answer = ask(make_app(predict=echo), body=b'{"a": [1, null, "\\u00e9"]}')

    assert (answer.status, answer.json()) == (200, {"a": [1, None, "é"]})
    assert answer.headers["content-type"] == "application/json"
    assert answer.is_complete


@pytest.mark.parametrize("path", ["/v1/models/model:predict", "/v1/models/model:predict_binary", "/invocations"])
def test_every_path_of_predict_leads_to_it(path: str) -> None:
    assert ask(make_app(predict=echo), path, body=b"[1]").json() == [1]


def test_predict_answers_msgpack_with_msgpack() -> None:
    answer = ask(
        make_app(predict=echo),
        body=msgpack.packb({"a": b"\0"}),
        headers={"Content-Type": "Application/Octet-Stream; x=1"},
    )

    assert msgpack.unpackb(answer.body) == {"a": b"\0"}
    assert answer.headers["content-type"] == "application/octet-stream"


class Question(pydantic.BaseModel):
    text: str


def test_the_first_step_gets_a_pydantic_model() -> None:
    def predict(self: object, inputs: Question) -> Any:
        return inputs.text.upper()

    assert ask(make_app(predict=predict), body=b'{"text": "hi"}').json() == "HI"
    refused = ask(make_app(predict=predict), body=b"{}")
    assert refused.status == 400
    assert "`text`" in refused.json()["error"]


def test_a_body_that_is_no_json_is_refused() -> None:
    answer = ask(make_app(predict=echo), body=b"{")

    assert (answer.status, answer.headers["x-baseten-error-code"]) == (400, "700")


def test_a_body_above_the_limit_is_refused() -> None:
    settings = "penstock: {limits: {message_bytes_max: 10}}"

    assert ask(make_app(settings, predict=echo), body=[b'"12345', b'67890"']).status == 413
    assert ask(make_app(settings, predict=echo), body=[b'"1234', b'5678"']).status == 200


def test_a_body_is_not_parsed_for_a_method_that_takes_the_request_only() -> None:
    async def predict(self: object, request: fastapi.Request) -> Any:
        return (await request.body()).decode()

    assert ask(make_app(predict=predict), body=[b"{ no ", b"json"]).json() == "{ no json"


def test_a_method_in_a_thread_that_takes_the_request_only_finds_the_whole_body() -> None:
    def predict(self: object, request: fastapi.Request) -> Any:
        return asyncio.run(request.body()).decode()

    settings = "penstock: {limits: {message_bytes_max: 10}}"
    assert ask(make_app(settings, predict=predict), body=[b"{ no ", b"json"]).json() == "{ no json"
    assert ask(make_app(settings, predict=predict), body=[b"12345", b"678901"]).status == 413


def test_a_model_reads_the_body_again_from_the_request() -> None:
    async def predict(self: object, inputs: Any, request: fastapi.Request) -> Any:
        return [inputs, await request.json(), request.headers["traceparent"]]

    answer = ask(make_app(predict=predict), body=b"[7]", headers={"traceparent": "TRACE_ID"})

    assert answer.json() == [[7], [7], "TRACE_ID"]


def test_what_the_model_raises_stays_here() -> None:
    def predict(self: object, inputs: Any) -> Any:
        raise ValueError("the password is 1234")

    with structlog.testing.capture_logs() as logs:
        answer = ask(make_app(predict=predict))

    assert (answer.status, answer.json()) == (500, {"error": MODEL_ERROR_MESSAGE})
    assert (answer.headers["x-baseten-error-source"], answer.headers["x-baseten-error-code"]) == ("04", "600")
    assert "the password is 1234" in str(logs)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration()])
@pytest.mark.parametrize("is_async", [True, False])
def test_no_exception_of_the_model_ends_the_replica(error: BaseException, is_async: bool) -> None:
    def sync(self: object, inputs: Any) -> Any:
        raise error

    async def coroutine(self: object, inputs: Any) -> Any:
        raise error

    assert ask(make_app(predict=coroutine if is_async else sync)).status == 500


def test_a_model_that_awaits_what_was_cancelled_has_failed() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    assert ask(make_app(predict=predict)).status == 500


def test_an_http_exception_has_its_status_and_detail() -> None:
    def predict(self: object, inputs: Any) -> Any:
        raise fastapi.HTTPException(status_code=418, detail={"is": "a teapot"}, headers={"x-tea": "green"})

    answer = ask(make_app(predict=predict))

    assert (answer.status, answer.json(), answer.headers["x-tea"]) == (418, {"error": {"is": "a teapot"}}, "green")


def test_a_result_without_a_form_is_an_error_of_the_server() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        return object()

    answer = ask(make_app(predict=predict))

    assert (answer.status, answer.headers["x-baseten-error-code"]) == (500, "500")


def test_a_request_id_is_in_every_log_of_the_call() -> None:
    seen: list[dict[str, Any]] = []

    def predict(self: object, inputs: Any) -> Iterator[str]:
        seen.append(structlog.contextvars.get_contextvars())
        logging.getLogger("model").info("in the model")
        yield "one"

    async def main() -> None:
        headers = {"X-Baseten-Request-Id": "abc", "X-Baseten-Chain-Request-Id": "def"}
        await AsgiCall(headers=headers).run(make_app(predict=predict))
        seen.append(structlog.contextvars.get_contextvars())

    asyncio.run(main())
    assert seen == [{"request_id": "abc", "chain_request_id": "def"}, {}]


OPENAI = [
    ("chat_completions", "/v1/chat/completions"),
    ("completions", "/v1/completions"),
    ("embeddings", "/v1/embeddings"),
    ("messages", "/v1/messages"),
    ("responses", "/v1/responses"),
]


@pytest.mark.parametrize(("name", "path"), OPENAI)
def test_the_methods_in_the_style_of_openai_have_paths_of_their_own(name: str, path: str) -> None:
    assert ask(make_app(predict=echo, **{name: echo}), path, body=b"[1]").json() == [1]
    assert ask(make_app(websocket=websocket, **{name: echo}), path, body=b"[1]").json() == [1]
    missing = ask(make_app(predict=echo), path)
    assert (missing.status, missing.headers["x-baseten-error-code"]) == (404, "700")


def test_they_stream_and_take_no_permit() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        await pass_time(100)

    async def main() -> Answer:
        app = make_app(predict=predict, chat_completions=generate)
        predicting = asyncio.create_task(AsgiCall().run(app))
        await pass_time(1)
        async with asyncio.timeout(1):
            answer = await AsgiCall("/v1/chat/completions").run(app)
        await predicting
        return answer

    assert run_virtual(main()).parts == [b"one ", b"two"]


def test_they_may_take_the_request_only() -> None:
    async def method(self: object, request: fastapi.Request) -> Any:
        return (await request.body()).decode()

    assert ask(make_app(predict=echo, embeddings=method), "/v1/embeddings", body=b"{").json() == "{"


def test_a_websocket_model_has_no_predict() -> None:
    answer = ask(make_app(websocket=websocket))

    assert (answer.status, answer.headers["x-baseten-error-code"]) == (404, "700")


@pytest.mark.parametrize(
    ("path", "method", "status", "body"),
    [
        ("/", "GET", 200, True),
        ("/ping", "GET", 200, {}),
        ("/v1/models/model", "GET", 200, {}),
        ("/v1/models/model/loaded", "GET", 200, {}),
        ("/v1/models/model/schema", "GET", 404, {"error": "No schema found"}),
        ("/nothing", "GET", 404, {"error": "Not Found"}),
        ("/", "POST", 405, {"error": "Method Not Allowed"}),
    ],
)
def test_the_other_paths(path: str, method: str, status: int, body: Any) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = ask(make_app(predict=echo), path, method=method, body=b"")

    assert (answer.status, answer.json()) == (status, body)
    assert logs == []


def test_the_schema_is_served() -> None:
    async def predict(self: object, inputs: Question) -> Question:
        return inputs

    answer = ask(make_app(predict=predict), "/v1/models/model/schema", method="GET", body=b"")

    assert answer.json()["input_schema"] == Question.model_json_schema()


def test_another_model_is_missing() -> None:
    answer = ask(make_app(predict=echo), "/v1/models/other:predict")

    assert (answer.status, answer.headers["x-baseten-error-code"]) == (404, "600")


def healthy_if(value: Any, *, is_async: bool) -> Callable[..., Any]:
    def sync(self: object) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        if isinstance(value, BaseException):
            raise value
        return value

    async def coroutine(self: object) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    return coroutine if is_async else sync


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("value", "status"),
    [(True, 200), (1, 200), (False, 503), (None, 503), (ValueError("no"), 503), (SystemExit(), 503)],
)
def test_readiness_asks_the_model(value: Any, status: int, is_async: bool) -> None:
    app = make_app(predict=echo, is_healthy=healthy_if(value, is_async=is_async))

    with structlog.testing.capture_logs() as logs:
        answer = ask(app, "/v1/models/model", method="GET", body=b"")

    assert answer.status == status
    if status == 200:
        assert (answer.json(), logs) == ({}, [])
    else:
        assert answer.json() == {"error": "Model with name model is not ready."}
        assert [log["event"] for log in logs] == ["Health check failed."]
    assert ask(app, "/v1/models/model/loaded", method="GET", body=b"").status == 200


def test_a_health_check_that_hangs_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "HEALTH_TIMEOUT_S", 0.01)
    gate = threading.Event()
    calls: list[int] = []

    def is_healthy(self: object) -> bool:
        calls.append(1)
        return gate.wait(LIMIT_S)

    async def main() -> list[bool]:
        app = make_app(predict=echo, is_healthy=is_healthy)
        answers = [await app.is_healthy(), await app.is_healthy()]
        gate.set()
        monkeypatch.setattr(app_module, "HEALTH_TIMEOUT_S", LIMIT_S)
        return [*answers, await app.is_healthy()]

    assert asyncio.run(main()) == [False, False, True]
    assert len(calls) <= 2


def test_newer_code_shares_the_permits_and_leaves_open_calls_alone() -> None:
    async def old(self: object, inputs: Any) -> AsyncIterator[str]:
        for _ in range(3):
            yield "old"
            await pass_time(1)

    async def main() -> tuple[Answer, Answer, float]:
        loop = asyncio.get_running_loop()
        app = make_app(predict=old)
        first = asyncio.create_task(AsgiCall().run(app))
        await pass_time(0.5)

        newer = app.with_model(loaded(type("Model", (), {"predict": echo})()))

        second = await AsgiCall(body=b'"new"').run(newer)
        second_at = loop.time()
        return await first, second, second_at

    first, second, at = run_virtual(main())
    assert first.parts == [b"old"] * 3
    assert second.json() == "new"
    assert at == pytest.approx(3)
