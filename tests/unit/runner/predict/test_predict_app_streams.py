"""Streams and responses of the model's own, through ASGI (truss.md section 2.2 and section 10, 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, StreamingResponse

from penstock_runner.predict.failures import MODEL_ERROR_MESSAGE
from penstock_runner.predict.streaming import ResponseCutError, StreamReadTimeoutError
from penstock_testing.asgi_call import AsgiCall, ask, echo, generate, make_app
from penstock_testing.client_side import pass_time
from penstock_testing.virtual_time import run_virtual

LIMIT_S = 10.0
JSON_ONLY = {"accept": "application/json"}


def test_a_generator_with_postprocess_is_a_plain_error_whose_reason_is_in_the_log() -> None:
    with structlog.testing.capture_logs() as logs:
        answer = ask(make_app(predict=generate, postprocess=echo))

    assert (answer.status, answer.json()) == (500, {"error": MODEL_ERROR_MESSAGE})
    assert "ModelDefinitionError" in str(logs)


def test_what_the_model_yields_is_streamed() -> None:
    answer = ask(make_app(predict=generate))

    assert (answer.status, answer.parts, answer.is_complete) == (200, [b"one ", b"two"], True)
    assert answer.headers == {"content-type": "application/octet-stream"}


@pytest.mark.parametrize("is_post", [True, False])
def test_a_stream_is_gathered_for_a_caller_that_takes_json_only(is_post: bool) -> None:
    methods = {"predict": echo, "postprocess": generate} if is_post else {"predict": generate}

    answer = ask(make_app(**methods), headers=JSON_ONLY)

    assert (answer.json(), answer.headers["content-type"]) == ("one two", "application/json")


@pytest.mark.parametrize(
    "headers",
    [{"accept": "application/json, */*"}, {**JSON_ONLY, "user-agent": "OpenAI/Python 1.61.0"}, {"accept": "*/*"}],
)
def test_a_stream_is_not_gathered_for_anybody_else(headers: dict[str, str]) -> None:
    assert ask(make_app(predict=generate), headers=headers).parts == [b"one ", b"two"]


def test_gathering_gives_the_permit_back() -> None:
    async def main() -> None:
        app = make_app(predict=generate)
        async with asyncio.timeout(LIMIT_S):
            for _ in range(3):
                await AsgiCall(headers=JSON_ONLY).run(app)

    asyncio.run(main())


def test_a_failure_while_gathering_is_an_error() -> None:
    def predict(self: object, inputs: Any) -> Iterator[str]:
        yield "one"
        raise ValueError("no more")

    assert ask(make_app(predict=predict), headers=JSON_ONLY).status == 500


def test_an_exception_in_a_stream_is_logged_and_ends_it() -> None:
    def predict(self: object, inputs: Any) -> Iterator[str]:
        yield "one"
        raise ValueError("no more")

    with structlog.testing.capture_logs() as logs:
        answer = ask(make_app(predict=predict))

    assert (answer.parts, answer.is_complete) == ([b"one"], True)
    (log,) = logs
    assert log["event"] == "Exception while generating streamed response"
    assert "ValueError: no more" in log["traceback"]


def test_a_stream_that_stalls_is_cut_off_after_the_time_of_the_config() -> None:
    async def predict(self: object, inputs: Any) -> AsyncIterator[str]:
        yield "one"
        await asyncio.Event().wait()

    async def main() -> float:
        call = AsgiCall()
        with pytest.raises(StreamReadTimeoutError):
            await call.run(make_app("runtime: {streaming_read_timeout: 5}", predict=predict))
        assert not call.answer.is_complete
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(5)


def test_a_response_of_the_model_is_passed_through() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        return PlainTextResponse("tea", status_code=inputs, headers={"x-tea": "green"})

    good, bad = (ask(make_app(predict=predict), body=status) for status in (b"201", b"404"))

    assert (good.status, good.body, good.headers["x-tea"]) == (201, b"tea", "green")
    assert "x-baseten-error-source" not in good.headers
    assert (bad.status, bad.headers["x-baseten-error-source"]) == (404, "04")


def test_a_streaming_response_keeps_its_media_type_and_the_permit_until_it_is_served() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        return StreamingResponse(generate(self, inputs), media_type="text/event-stream")

    async def main() -> None:
        app = make_app(predict=predict)
        first, second = AsgiCall(), AsgiCall()
        first.may_send.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(first.run(app))
            group.create_task(second.run(app))
            await pass_time(1)
            assert second.answer.status == 0
            first.may_send.set()
        assert second.answer.parts == [b"one ", b"two"]
        assert second.answer.headers["content-type"].startswith("text/event-stream")

    run_virtual(main())


def test_a_streaming_response_that_fails_is_cut() -> None:
    async def fail() -> AsyncIterator[str]:
        yield "one"
        raise ValueError("no more")

    async def predict(self: object, inputs: Any) -> Any:
        return StreamingResponse(fail())

    async def main() -> AsgiCall:
        call = AsgiCall()
        with pytest.raises(ResponseCutError):
            await call.run(make_app(predict=predict))
        return call

    with structlog.testing.capture_logs() as logs:
        call = asyncio.run(main())
    assert (call.answer.parts, call.answer.is_complete) == ([b"one"], False)
    assert "ValueError: no more" in logs[0]["traceback"]


def test_a_response_that_fails_before_its_head_is_an_error() -> None:
    class Broken(PlainTextResponse):
        async def __call__(self, *args: Any) -> None:
            raise ValueError("no head")

    async def predict(self: object, inputs: Any) -> Any:
        return Broken("")

    assert ask(make_app(predict=predict)).status == 500


def test_a_background_task_that_fails_leaves_the_response_as_it_is() -> None:
    def fail() -> None:
        raise ValueError("too late")

    async def predict(self: object, inputs: Any) -> Any:
        return PlainTextResponse("done", background=BackgroundTask(fail))

    with structlog.testing.capture_logs() as logs:
        answer = ask(make_app(predict=predict))

    assert (answer.body, answer.is_complete) == (b"done", True)
    assert "too late" in str(logs)
