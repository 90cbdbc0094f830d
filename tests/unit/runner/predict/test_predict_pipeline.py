"""preprocess, predict, postprocess (truss.md section 2.2)."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from fastapi import Request
from starlette.responses import PlainTextResponse, StreamingResponse

from penstock_runner.model.definition import check_model
from penstock_runner.model.errors import ModelDefinitionError
from penstock_runner.predict.disconnect import ClientPresence, PredictRequest
from penstock_runner.predict.failures import ClientGone, UserCodeError
from penstock_runner.predict.permits import Permits
from penstock_runner.predict.pipeline import Outcome, Pipeline
from penstock_runner.predict.streaming import END, ItemSource, is_stream
from penstock_runner.predict.threads import ThreadPool
from penstock_testing.asgi_call import AsgiCall
from penstock_testing.client_side import pass_time
from penstock_testing.virtual_time import run_virtual

T = TypeVar("T")
THREADS = 8


def make_pipeline(permits: int = 1, /, **methods: Callable[..., Any]) -> Pipeline:
    model = type("Model", (), methods)()
    return Pipeline(check_model(model), ThreadPool(THREADS), Permits(permits))


def request_of(call: AsgiCall) -> PredictRequest:
    return PredictRequest(call.scope, ClientPresence(call.scope, call.receive), call.send)


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(main())


async def items_of(result: Any) -> list[Any]:
    source = ItemSource(result, ThreadPool(1))
    items = []
    while (item := await source.next_item()) is not END:
        items.append(item)
    return items


def of_flavor(flavor: str, letter: str) -> Callable[..., Any]:
    """Makes a method that appends `letter` to its input, in one of the four kinds of functions."""

    def sync(self: object, inputs: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        return inputs + letter

    async def coroutine(self: object, inputs: Any) -> Any:
        await asyncio.sleep(0)
        assert threading.current_thread() is threading.main_thread()
        return inputs + letter

    def generator(self: object, inputs: Any) -> Iterator[Any]:
        assert threading.current_thread() is not threading.main_thread()
        yield inputs
        yield letter

    async def async_generator(self: object, inputs: Any) -> AsyncIterator[Any]:
        yield inputs
        yield letter

    return {
        "sync": sync,
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
    }[flavor]


PLAIN = ("sync", "coroutine")
STREAMED = ("generator", "async generator")


@pytest.mark.parametrize(
    ("pre", "main", "post"), list(itertools.product((None, *PLAIN), PLAIN, (None, *PLAIN, *STREAMED)))
)
def test_steps_of_every_kind_go_together(pre: str | None, main: str, post: str | None) -> None:
    methods = {"predict": of_flavor(main, "b")}
    if pre is not None:
        methods["preprocess"] = of_flavor(pre, "a")
    if post is not None:
        methods["postprocess"] = of_flavor(post, "c")

    async def call() -> Any:
        outcome = await make_pipeline(**methods).run(">", request_of(AsgiCall()))
        assert outcome.permit is None
        return await items_of(outcome.result) if is_stream(outcome.result) else outcome.result

    got = run(call)

    done = ">" + ("a" if pre else "") + "b"
    assert got == ([done, "c"] if post in STREAMED else done + ("c" if post else ""))


@pytest.mark.parametrize(("pre", "main"), list(itertools.product((None, *PLAIN), STREAMED)))
def test_predict_may_be_a_generator_and_keeps_its_permit(pre: str | None, main: str) -> None:
    methods = {"predict": of_flavor(main, "b")}
    if pre is not None:
        methods["preprocess"] = of_flavor(pre, "a")

    async def call() -> tuple[list[Any], bool]:
        outcome = await make_pipeline(**methods).run(">", request_of(AsgiCall()))
        return await items_of(outcome.result), outcome.permit is not None

    assert run(call) == ([">a" if pre else ">", "b"], True)


@pytest.mark.parametrize("pre", STREAMED)
def test_what_preprocess_yields_goes_to_predict_as_a_generator(pre: str) -> None:
    async def predict(self: object, inputs: Any) -> Any:
        return await items_of(inputs)

    async def call() -> Any:
        pipeline = make_pipeline(preprocess=of_flavor(pre, "a"), predict=predict)
        return (await pipeline.run(">", request_of(AsgiCall()))).result

    assert run(call) == [">", "a"]


@pytest.mark.parametrize("is_async", [True, False])
def test_a_plain_function_may_return_a_generator(is_async: bool) -> None:
    def sync(self: object, inputs: Any) -> Any:
        return of_flavor("generator", "b")(self, inputs)

    async def coroutine(self: object, inputs: Any) -> Any:
        return of_flavor("async generator", "b")(self, inputs)

    async def call() -> bool:
        outcome = await make_pipeline(predict=coroutine if is_async else sync).run(">", request_of(AsgiCall()))
        return outcome.permit is not None and await items_of(outcome.result) == [">", "b"]

    assert run(call)


@pytest.mark.parametrize("main", STREAMED)
def test_a_generator_cannot_go_through_postprocess(main: str) -> None:
    async def call() -> None:
        pipeline = make_pipeline(predict=of_flavor(main, "b"), postprocess=of_flavor("sync", "c"))
        for _ in range(2):  # the first has given its permit back
            with pytest.raises(UserCodeError, match="returned a generator") as caught:
                await pipeline.run(">", request_of(AsgiCall()))
            assert isinstance(caught.value.error, ModelDefinitionError)

    run(call)


def test_a_response_cannot_go_through_postprocess() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        return PlainTextResponse("done")

    async def call() -> None:
        with pytest.raises(UserCodeError, match="returned a response"):
            await make_pipeline(predict=predict, postprocess=predict).run(None, request_of(AsgiCall()))

    run(call)


def test_a_decorated_coroutine_function_is_awaited() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        await asyncio.sleep(0)
        return inputs

    @functools.wraps(predict)
    def wrapper(*args: Any) -> Any:
        return predict(*args)

    async def call() -> Any:
        return (await make_pipeline(predict=wrapper).run("x", request_of(AsgiCall()))).result

    assert run(call) == "x"


async def takes_nothing(self: object) -> Any:
    return ()


async def takes_inputs(self: object, inputs: Any) -> Any:
    return (inputs,)


async def takes_request(self: object, request: Request) -> Any:
    return (request,)


async def takes_both(self: object, inputs: Any, request: Request) -> Any:
    return (inputs, request)


@pytest.mark.parametrize("method", [takes_nothing, takes_inputs, takes_request, takes_both])
def test_every_shape_of_arguments_is_served(method: Callable[..., Any]) -> None:
    async def call() -> None:
        request = request_of(AsgiCall())
        expected = {takes_nothing: (), takes_inputs: ("in",), takes_request: (request,), takes_both: ("in", request)}

        outcome = await make_pipeline(predict=method).run("in", request)

        assert outcome.result == expected[method]

    run(call)


@pytest.mark.parametrize(
    ("methods", "is_parsed"),
    [
        ({"predict": takes_request}, False),
        ({"predict": takes_nothing}, True),
        ({"predict": takes_inputs}, True),
        ({"predict": takes_inputs, "preprocess": takes_request}, True),
        ({"predict": takes_both, "preprocess": takes_inputs}, True),
    ],
)
def test_the_body_is_parsed_unless_all_take_the_request_only(methods: Any, is_parsed: bool) -> None:
    async def call() -> bool:
        return make_pipeline(**methods).is_body_parsed

    assert run(call) is is_parsed


def test_predict_runs_under_a_permit_and_the_steps_around_it_do_not() -> None:
    running = {"preprocess": 0, "predict": 0, "postprocess": 0}
    most = dict(running)

    def step(name: str) -> Callable[..., Any]:
        async def method(self: object, inputs: Any) -> Any:
            running[name] += 1
            most[name] = max(most[name], running[name])
            await pass_time(1)
            running[name] -= 1

        return method

    async def main() -> float:
        pipeline = make_pipeline(2, **{name: step(name) for name in running})
        await asyncio.gather(*(pipeline.run(None, request_of(AsgiCall())) for _ in range(6)))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(5)
    assert most == {"preprocess": 6, "predict": 2, "postprocess": 2}


def test_a_failed_predict_gives_its_permit_back() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        raise ValueError("no")

    async def main() -> None:
        pipeline = make_pipeline(predict=predict)
        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await pipeline.run(None, request_of(AsgiCall()))

    run_virtual(main())


def test_a_streaming_response_keeps_the_permit_and_another_response_does_not() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        return StreamingResponse(iter([inputs])) if inputs == "stream" else PlainTextResponse(inputs)

    async def main() -> tuple[Outcome, Outcome]:
        pipeline = make_pipeline(predict=predict)
        plain = await pipeline.run("plain", request_of(AsgiCall()))
        return plain, await pipeline.run("stream", request_of(AsgiCall()))

    plain, stream = run_virtual(main())
    assert plain.permit is None
    assert stream.permit is not None


@pytest.mark.parametrize("leaves_in", ["nothing", "preprocess", "predict"])
def test_no_step_begins_without_a_client(leaves_in: str) -> None:
    begun: list[str] = []

    def step(name: str) -> Callable[..., Any]:
        async def method(self: object, inputs: Any) -> Any:
            begun.append(name)
            if name == leaves_in:
                inputs.leave()
            return inputs

        return method

    async def main() -> None:
        call = AsgiCall()
        if leaves_in == "nothing":
            call.leave()
        names = ("preprocess", "predict", "postprocess")
        await make_pipeline(**{name: step(name) for name in names}).run(call, request_of(call))

    skipped = {"nothing": "preprocess", "preprocess": "predict", "predict": "postprocess"}[leaves_in]
    with pytest.raises(ClientGone, match=f"Client disconnected, skipping `{skipped}`."):
        run_virtual(main())
    assert begun == {"nothing": [], "preprocess": ["preprocess"], "predict": ["preprocess", "predict"]}[leaves_in]


def test_a_client_that_leaves_while_waiting_for_the_permit_costs_no_prediction() -> None:
    begun: list[str] = []

    async def predict(self: object, inputs: Any) -> Any:
        begun.append(inputs)
        await pass_time(10)

    async def main() -> None:
        pipeline = make_pipeline(predict=predict)
        call = AsgiCall()
        first = asyncio.create_task(pipeline.run("first", request_of(AsgiCall())))
        await pass_time(1)
        second = asyncio.create_task(pipeline.run("second", request_of(call)))
        await pass_time(1)
        call.leave()
        await first
        with pytest.raises(ClientGone):
            await second
        await pipeline.run("third", request_of(AsgiCall()))

    run_virtual(main())
    assert begun == ["first", "third"]


def test_a_cancelled_predict_in_a_thread_keeps_its_permit_until_the_thread_is_done() -> None:
    gate = threading.Event()
    order: list[str] = []

    def predict(self: object, inputs: str) -> None:
        gate.wait(10)
        order.append(inputs)

    async def main() -> None:
        pipeline = make_pipeline(predict=predict)
        first = asyncio.create_task(pipeline.run("first", request_of(AsgiCall())))
        await asyncio.sleep(0)
        second = asyncio.create_task(pipeline.run("second", request_of(AsgiCall())))
        first.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        gate.set()
        await second
        assert first.cancelled()

    asyncio.run(main())
    assert order == ["first", "second"]
