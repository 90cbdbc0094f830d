"""Clients that leave before they have their answer, through ASGI (truss.md section 2.5)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import fastapi
import pytest
import structlog
from starlette.responses import StreamingResponse

from penstock_runner.stream import ClientDisconnectedError
from penstock_testing.asgi_call import Answer, AsgiCall, echo, generate, make_app
from penstock_testing.client_side import pass_time
from penstock_testing.virtual_time import run_virtual

LIMIT_S = 10.0


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_client_that_leaves_is_no_error_of_the_model(is_stream: bool) -> None:
    async def predict(self: object, inputs: Any) -> Any:
        await pass_time(1)
        return StreamingResponse(generate(self, inputs)) if is_stream else "done"

    async def main() -> None:
        call = AsgiCall()
        asyncio.get_running_loop().call_later(0.5, call.leave)
        with pytest.raises(OSError, match="has left"):
            await call.run(make_app(predict=predict))

    with structlog.testing.capture_logs() as logs:
        run_virtual(main())
    assert logs == []


@pytest.mark.parametrize("tells", [True, False])
def test_without_the_option_a_client_that_leaves_stops_nothing(tells: bool) -> None:
    done = []

    async def predict(self: object, inputs: Any) -> Any:
        await pass_time(10)
        done.append(inputs)

    async def main() -> None:
        call = AsgiCall(tells=tells, body=b"7")
        asyncio.get_running_loop().call_later(5, call.leave)
        with pytest.raises(OSError, match="has left"):
            await call.run(make_app(predict=predict))

    run_virtual(main())
    assert done == [7]


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("is_stream", [True, False])
def test_with_the_option_a_client_that_leaves_cancels_the_step(tells: bool, is_stream: bool) -> None:
    cleaned = []

    async def work() -> None:
        try:
            await pass_time(100)
        finally:
            cleaned.append(asyncio.get_running_loop().time())

    async def plain(self: object, inputs: Any) -> Any:
        await work()

    async def stream(self: object, inputs: Any) -> AsyncIterator[str]:
        yield "one"
        await work()

    async def main() -> None:
        app = make_app("penstock: {cancel_on_disconnect: true}", predict=stream if is_stream else plain)
        call = AsgiCall(tells=tells)
        asyncio.get_running_loop().call_later(5, call.leave)
        with pytest.raises(ClientDisconnectedError):
            await call.run(app)
        # The permit is free again.
        second = asyncio.create_task(AsgiCall().run(app))
        await pass_time(1)
        second.cancel()
        await asyncio.wait([second])

    run_virtual(main())
    assert cleaned == [pytest.approx(5), pytest.approx(6)]


def test_a_thread_hears_of_the_disconnect() -> None:
    began = threading.Event()

    def predict(self: object, inputs: Any, request: fastapi.Request) -> Iterator[str]:
        with request.state.watch_disconnect() as event:
            yield "one"
            began.set()
            yield str(event.wait(LIMIT_S))

    async def main() -> list[bool]:
        call = AsgiCall()
        told: list[bool] = []

        async def leave() -> None:
            await asyncio.to_thread(began.wait, LIMIT_S)
            call.leave()

        async with asyncio.TaskGroup() as group:
            group.create_task(leave())
            with pytest.raises(OSError, match="has left"):
                async with asyncio.timeout(LIMIT_S / 2):
                    await call.run(make_app(predict=predict))
            told.append(True)
        return told

    assert asyncio.run(main()) == [True]


def test_a_client_that_is_gone_gets_a_499_that_names_the_step() -> None:
    """Nobody reads it. It is what the log and the request's metrics have."""

    async def main() -> Answer:
        call = AsgiCall()
        app = make_app(predict=echo)
        call.signal.set()  # gone, but the server still takes what is sent
        return await call.run(app)

    answer = asyncio.run(main())
    assert (answer.status, answer.json()) == (499, {"error": "Client disconnected, skipping `predict`."})


def test_a_cancelled_call_ends_and_gives_its_permit_back() -> None:
    async def predict(self: object, inputs: Any) -> Any:
        await pass_time(inputs)
        return "done"

    async def main() -> Answer:
        app = make_app(predict=predict)
        first = asyncio.create_task(AsgiCall(body=b"100").run(app))
        await pass_time(1)
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        async with asyncio.timeout(1):
            return await AsgiCall(body=b"0").run(app)

    assert run_virtual(main()).json() == "done"
