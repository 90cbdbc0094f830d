"""The client against a real edge and a real runner, over WebSocket and over gRPC."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from penstock import Client, EndCode, NotFoundError, PenstockError, Stream, StreamClosedError, UpstreamError
from penstock_testing.static_platform import StaticPlatform

MIB = 1 << 20

Scenario = Callable[[Client], Awaitable[None]]


@pytest.fixture(params=["websocket", "grpc"])
def url(request: pytest.FixtureRequest, platform: StaticPlatform) -> str:
    return f"ws://{platform.http}" if request.param == "websocket" else f"grpc://{platform.grpc}"


def play(url: str, scenario: Scenario, **options: float) -> None:
    async def run() -> None:
        async with Client(url, **options) as client:  # type: ignore[arg-type]  # every option is a number
            await scenario(client)

    asyncio.run(run())


async def order(stream: Stream, do: str, **arguments: object) -> None:
    """Tells the model what to do."""
    await stream.send(json.dumps({"do": do, **arguments}))


def test_messages_come_back_whole_in_order_and_of_their_kind(url: str) -> None:
    sent: list[str | bytes] = ["text", b"binary", "", b"", "ünï ☃" * 100, b"\x00\xff" * 400_000, "x" * 300_000]

    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "echo")
            for message in sent:
                await stream.send(message)

            assert [await stream.recv() for _ in sent] == sent

    play(url, scenario)


def test_a_message_of_20_mib_comes_back(url: str) -> None:
    data = bytes(range(256)) * (20 * MIB // 256)

    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "echo")
            await stream.send(data)

            assert await stream.recv() == data

    play(url, scenario)


@pytest.mark.parametrize("names", [{}, {"environment": "production"}, {"deployment": "obedient"}])
def test_a_deployment_is_found_by_each_of_its_names(url: str, names: dict[str, str]) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient", **names) as stream:  # type: ignore[arg-type]  # only names
            await order(stream, "echo")
            await stream.send("hello")

            assert await stream.recv() == "hello"

    play(url, scenario)


def test_the_only_deployment_needs_no_name(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream() as stream:
            await order(stream, "return")

            assert [message async for message in stream] == []

    play(url, scenario)


@pytest.mark.parametrize("names", [{"model": "other"}, {"model": "obedient", "environment": "nowhere"}])
def test_an_unknown_name_is_not_found(url: str, names: dict[str, Any]) -> None:
    async def scenario(client: Client) -> None:
        with pytest.raises(NotFoundError) as caught:
            async with client.stream(**names):
                pytest.fail("the stream was opened")

        assert caught.value.code is EndCode.NOT_FOUND

    play(url, scenario)


def test_headers_reach_the_model(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient", headers={"X-Language": "de"}) as stream:
            await order(stream, "headers")

            assert json.loads(await stream.recv())["x-language"] == "de"

    play(url, scenario)


def test_a_handler_that_returns_ends_the_stream_normally(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "return")

            assert [message async for message in stream] == []
            assert stream.close_code == 1000

    play(url, scenario)


def test_a_handler_that_raises_is_an_upstream_error(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "raise")
            with pytest.raises(UpstreamError) as caught:
                await stream.recv()

            assert (caught.value.code, caught.value.close_code) == (EndCode.MODEL_ERROR, 1011)
            assert caught.value.reason == "Internal Server Error (in model/chainlet)."
            assert stream.close_code == 1011

    play(url, scenario)


@pytest.mark.parametrize(("code", "reason"), [(1000, "so long"), (4001, "not today"), (4999, "ü" * 61)])
def test_a_close_of_the_model_keeps_its_code_and_reason(url: str, code: int, reason: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "close", code=code, reason=reason)
            with pytest.raises(StreamClosedError) as caught:
                await stream.recv()

            assert (caught.value.close_code, caught.value.reason) == (code, reason)
            assert (stream.close_code, stream.close_reason) == (code, reason)

    play(url, scenario)


def test_everything_that_the_model_sent_is_received_before_the_end(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "flood", count=2000, size=1000)

            assert [len(message) async for message in stream] == [1000] * 2000

    play(url, scenario)


def test_closing_in_the_middle_of_a_flood_is_quick(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with asyncio.timeout(15), client.stream("obedient") as stream:
            await order(stream, "flood", count=100_000, size=10_000)
            assert len(await stream.recv()) == 10_000

    play(url, scenario, close_timeout=1)


def test_a_message_beyond_the_limit_ends_the_stream(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "echo")
            with pytest.raises(PenstockError) as caught:
                await send_and_receive(stream, b"x" * (100 * MIB + 1))

            assert (caught.value.code, caught.value.close_code) == (EndCode.MESSAGE_TOO_BIG, 1009)

    play(url, scenario)


async def send_and_receive(stream: Stream, message: bytes) -> None:
    await stream.send(message)
    await stream.recv()


def test_a_client_that_waits_in_line_gives_up_and_leaves_nothing(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await order(await stack.enter_async_context(client.stream("obedient")), "echo")
            with pytest.raises(PenstockError) as caught:
                async with client.stream("obedient"):
                    pytest.fail("the stream was opened")
            assert caught.value.retryable
        async with client.stream("obedient") as stream:
            await order(stream, "echo")
            await stream.send("free again")
            assert await stream.recv() == "free again"

    play(url, scenario, open_timeout=1)


def test_a_cancelled_recv_loses_no_message(url: str) -> None:
    async def scenario(client: Client) -> None:
        async with client.stream("obedient") as stream:
            await order(stream, "echo")
            for number in range(100):
                await stream.send(str(number))
                waiting = asyncio.create_task(stream.recv())
                for _ in range(number % 23):
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait({waiting})
                received = await stream.recv() if waiting.cancelled() else waiting.result()
                assert received == str(number)

    play(url, scenario)
