"""A WebSocket at the predict path through a real edge and runner."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from penstock_testing.asked_model import MODEL, PREDICT, SLOTS, wait_seen
from penstock_testing.raw_http import raw_http
from penstock_testing.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawWebSocket,
    close_payload,
    frame,
    raw_websocket,
    upgrade,
)
from penstock_testing.static_platform import StaticPlatform

END = '{"penstock": "end"}'
MIB = 1024 * 1024
Scenario = Callable[[RawWebSocket], Awaitable[None]]


def run(platform: StaticPlatform, scenario: Scenario, path: str = PREDICT) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), raw_websocket(platform.http) as client:
            await client.upgraded(path)
            await scenario(client)

    asyncio.run(main())


async def ask(client: RawWebSocket, inputs: object) -> None:
    await client.send(frame(TEXT, json.dumps(inputs).encode()))


async def reply(client: RawWebSocket) -> object:
    message = await client.message()
    assert isinstance(message, str)
    return json.loads(message)


async def works(client: RawWebSocket) -> None:
    await ask(client, {"it": "works"})
    assert await reply(client) == {"it": "works"}


def test_one_message_is_one_request_and_replies_come_in_order(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        for number in range(200):
            await ask(client, {"number": number})
        assert [await reply(client) for _ in range(200)] == [{"number": number} for number in range(200)]

    run(asked, scenario)


def test_the_model_learns_what_the_upgrade_has_said(asked: StaticPlatform) -> None:
    async def main() -> None:
        async with raw_websocket(asked.http) as client:
            added = [("X-Own", "kept"), ("Authorization", "secret"), ("Sec-WebSocket-Protocol", "p")]
            await client.send(upgrade(PREDICT, add=added))
            assert (await client.answer()).status == 101
            await ask(client, {"do": "headers"})
            first = await reply(client)
            await ask(client, {"do": "headers"})
            second = await reply(client)
        assert isinstance(first, dict) and isinstance(second, dict)
        assert (first["x-own"], first["content-type"]) == ("kept", "application/json")
        assert "authorization" not in first
        assert not [name for name in first if name.startswith("sec-") or name in ("upgrade", "connection")]
        assert first["x-baseten-request-id"] != second["x-baseten-request-id"]

    asyncio.run(main())


def test_a_streamed_result_is_a_message_for_each_item_and_a_marker(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await ask(client, {"do": "items", "count": 3})
        assert [await client.message() for _ in range(4)] == [b"item 0 ", b"item 1 ", b"item 2 ", END]
        await ask(client, {"do": "items", "count": 0})
        assert await client.message() == END
        await ask(client, {"do": "events"})
        assert [await client.message() for _ in range(4)] == ["data: 0\n\n", "data: 1\n\n", "data: 2\n\n", END]
        await works(client)

    run(asked, scenario)


def test_items_come_while_the_model_makes_them(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await ask(client, {"do": "watch_stream", "name": "items that come"})
        for _ in range(3):
            assert await client.message() == b"x"

    run(asked, scenario)
    asyncio.run(wait_seen(asked, "items that come", "gone"))


@pytest.mark.parametrize(
    ("inputs", "error", "status"),
    [
        ('{"do": "raised"}', "Internal Server Error (in model/chainlet).", 500),
        ('{"do": "refused", "status": 418}', "told by the model", 418),
        ("no json", "Invalid JSON payload: Expecting value: line 1 column 1 (char 0)", 400),
    ],
)
def test_an_error_is_a_message_and_the_connection_stays(
    asked: StaticPlatform, inputs: str, error: str, status: int
) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(frame(TEXT, inputs.encode()))
        assert await reply(client) == {"error": error, "status": status}
        await works(client)

    run(asked, scenario)


def test_a_binary_message_is_msgpack_and_so_is_its_reply(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(frame(BINARY, b"\x81\xa1a\xc4\x01\xff"))  # {"a": b"\xff"}
        assert await client.message() == b"\x81\xa1a\xc4\x01\xff"
        await works(client)

    run(asked, scenario)


@pytest.mark.parametrize("size", [100_000, 256 * 1024 + 1, 5 * MIB])
def test_large_messages_pass_both_ways(asked: StaticPlatform, size: int) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await ask(client, {"do": "size", "data": "x" * size})
        assert await reply(client) == {"size": size}
        await ask(client, {"do": "large", "size": size})
        assert await reply(client) == {"data": "y" * size}
        await ask(client, {"do": "blocks", "count": 2, "size": size})
        assert [await client.message() for _ in range(3)] == [bytes(size), bytes(size), END]

    run(asked, scenario)


def test_a_message_in_pieces_is_one_request(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(frame(TEXT, b'{"a"', is_final=False) + frame(CONTINUATION, b"", is_final=False))
        await client.send(frame(PING, b"between"))
        assert (await client.frame()).opcode == PONG
        await client.send(frame(CONTINUATION, b": 1}"))
        assert await reply(client) == {"a": 1}

    run(asked, scenario)


def test_what_is_left_of_a_refused_message_is_not_taken_for_the_next(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(frame(TEXT, b"x" * 100, is_final=False))
        for _ in range(20):
            await client.send(frame(CONTINUATION, b"x" * 100_000, is_final=False))
        await client.send(frame(CONTINUATION, b""))
        answer = await reply(client)
        assert isinstance(answer, dict) and answer["status"] == 400
        await works(client)

    run(asked, scenario)


def test_idle_connections_hold_no_slot(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        idle = [raw_websocket(asked.http) for _ in range(SLOTS + 8)]
        opened = [await one.__aenter__() for one in idle]
        try:
            for one in opened:
                await one.upgraded(PREDICT)
            await works(client)
            for one in opened:
                await works(one)
        finally:
            for context in idle:
                await context.__aexit__(None, None, None)

    run(asked, scenario)


@pytest.mark.parametrize("farewell", [frame(CLOSE, close_payload(1000)), None])
def test_the_model_is_told_at_once_that_its_client_is_gone(asked: StaticPlatform, farewell: bytes | None) -> None:
    name = f"gone {farewell!r}"

    async def scenario(client: RawWebSocket) -> None:
        await ask(client, {"do": "watch", "name": name})
        await wait_seen(asked, name, "running")
        if farewell is not None:
            await client.send(farewell)
            close = await client.closed()
            assert close is not None and close.close_code == 1000

    run(asked, scenario)
    asyncio.run(wait_seen(asked, name, "gone"))


def test_what_was_sent_before_a_close_and_not_served_is_dropped(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await ask(client, {"do": "watch", "name": "first"})
        await ask(client, {"do": "watch", "name": "second"})
        await wait_seen(asked, "first", "running")
        await client.send(frame(CLOSE, close_payload(1000)))
        assert (await client.closed()) is not None
        await wait_seen(asked, "first", "gone")
        async with raw_http(asked.http) as other:
            assert (await other.ask({"do": "ask", "name": "second"}, path=PREDICT)).json() == {"seen": None}

    run(asked, scenario)


@pytest.mark.parametrize(
    ("data", "close_code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"", reserved=4), 1002),
        (frame(CONTINUATION, b""), 1002),
        (frame(TEXT, claimed_length=101 * MIB), 1009),
        (frame(CLOSE, close_payload(999)), 1002),
    ],
)
def test_a_client_that_breaks_the_protocol_is_closed(asked: StaticPlatform, data: bytes, close_code: int) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await works(client)
        await client.send(data)
        close = await client.closed()
        assert close is not None and close.close_code == close_code

    run(asked, scenario)


def test_a_client_that_reads_nothing_holds_its_model_up_and_little_memory(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await ask(client, {"do": "blocks", "count": 48, "size": MIB})
        async with raw_websocket(asked.http) as other:
            await other.upgraded(PREDICT)
            await works(other)
        assert [len(await client.message()) for _ in range(48)] == [MIB] * 48
        assert await client.message() == END

    run(asked, scenario)


def test_a_client_that_floods_is_read_no_further(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await ask(client, {"do": "watch", "name": "flood"})
        flood = frame(TEXT, b'"' + b"x" * 60_000 + b'"') * 20
        with pytest.raises(TimeoutError):  # the buffers of both kernels take some MiB
            async with asyncio.timeout(2):
                await asyncio.gather(*(client.send(flood) for _ in range(20)))
        client.reset()  # what the edge has not read would be in front of a FIN

    run(asked, scenario)
    asyncio.run(wait_seen(asked, "flood", "gone"))


@pytest.mark.parametrize(
    "path", [PREDICT, f"/model/{MODEL}/environments/production/predict", "/v1/models/model:predict"]
)
def test_every_path_to_predict_takes_an_upgrade(asked: StaticPlatform, path: str) -> None:
    run(asked, works, path)


def test_the_websocket_path_of_such_a_model_is_closed_with_1003(asked: StaticPlatform) -> None:
    async def scenario(client: RawWebSocket) -> None:
        close = await client.frame()
        assert (close.opcode, close.close_code) == (CLOSE, 1003)

    run(asked, scenario, f"/model/{MODEL}/websocket")
