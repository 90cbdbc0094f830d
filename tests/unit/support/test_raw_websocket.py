"""The hand-made client speaks correct WebSocket unless it is told otherwise."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from penstock_testing.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
    masked,
    raw_websocket,
    upgrade,
)


async def echo(connection: ServerConnection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 65_535, 65_536, 100_000])
def test_messages_of_every_form_of_length_come_back(size: int) -> None:
    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            async with raw_websocket(address) as client:
                await client.upgraded("/")
                await client.send(frame(BINARY, b"x" * size) + frame(TEXT, b"y" * size))
                assert await client.message() == b"x" * size
                assert await client.message() == "y" * size

    asyncio.run(run())


def test_a_conversation_with_fragments_pings_and_a_close() -> None:
    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            async with raw_websocket(address) as client:
                await client.send_in_pieces(upgrade("/"))
                assert (await client.answer()).status == 101
                await client.send(frame(TEXT, b"a", is_final=False) + frame(PING, b"p") + frame(CONTINUATION, b"b"))
                pong = await client.frame()
                assert (pong.opcode, pong.payload) == (PONG, b"p")
                assert await client.message() == "ab"
                await client.send(frame(CLOSE, close_payload(4000, b"bye")))
                close = await client.closed()
                assert close is not None
                assert (close.close_code, close.close_reason) == (4000, "bye")

    asyncio.run(run())


def test_a_refused_upgrade_is_read_with_its_body() -> None:
    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            address = f"127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            async with raw_websocket(address) as client:
                await client.send(upgrade("/", without=["sec-websocket-key"]))
                answer = await client.answer()
                assert answer.status == 400
                assert b"Sec-WebSocket-Key" in answer.body

    asyncio.run(run())


def test_frames_are_wrong_only_as_asked() -> None:
    assert frame(TEXT, b"ab", is_masked=False) == b"\x81\x02ab"
    assert frame(TEXT, b"ab", is_masked=False, is_final=False) == b"\x01\x02ab"
    assert frame(TEXT, b"", is_masked=False, reserved=7) == b"\xf1\x00"
    assert frame(TEXT, b"ab", is_masked=False, length_form="16 bit") == b"\x81\x7e\x00\x02ab"
    assert frame(TEXT, b"ab", is_masked=False, length_form="64 bit") == b"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x02ab"
    assert frame(BINARY, b"", is_masked=False, claimed_length=1 << 63) == b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"
    assert masked(masked(b"twice is nothing")) == b"twice is nothing"
