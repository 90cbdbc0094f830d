"""What few clients do and RFC 6455 allows passes unharmed."""

from __future__ import annotations

from typing import Literal

import pytest

from penstock_testing.raw_websocket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Play,
    RawWebSocket,
    frame,
    upgrade,
)


def test_an_upgrade_byte_by_byte(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send_in_pieces(upgrade(path))
        assert (await client.answer()).status == 101
        await client.send_in_pieces(frame(TEXT, b"byte by byte"))
        assert await client.message() == "byte by byte"

    play(scenario)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_frames_in_pieces_of_any_size(play: Play, path: str, size: int) -> None:
    messages = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 127, b"e" * 400]
    data = b"".join(frame(BINARY, message) + frame(PING, message[:10]) for message in messages)

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send_in_pieces(data, size)
        received: list[bytes] = []
        pongs: list[bytes] = []
        while len(received) < len(messages) or len(pongs) < len(messages):
            answer = await client.frame()
            (pongs if answer.opcode == PONG else received).append(answer.payload)
        assert received == messages
        assert pongs == [message[:10] for message in messages]

    play(scenario)


def test_an_upgrade_after_another_request_on_the_same_connection(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await client.answer()).status == 200
        await client.upgraded(path)
        await client.send(frame(TEXT, b"hello"))
        assert await client.message() == "hello"

    play(scenario)


@pytest.mark.parametrize("count", [1, 100])
def test_messages_right_behind_the_upgrade(play: Play, path: str, count: int) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path) + b"".join(frame(TEXT, str(number).encode()) for number in range(count)))
        assert (await client.answer()).status == 101
        assert [await client.message() for _ in range(count)] == [str(number) for number in range(count)]

    play(scenario)


@pytest.mark.parametrize("size", [60_000, 70_000, 1_000_000])
def test_a_large_message_right_behind_the_upgrade(play: Play, path: str, size: int) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path) + frame(BINARY, b"x" * size))
        assert (await client.answer()).status == 101
        assert await client.message() == b"x" * size

    play(scenario)


def test_half_a_frame_right_behind_the_upgrade(play: Play, path: str) -> None:
    data = frame(TEXT, b"in two parts")

    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path) + data[:7])
        assert (await client.answer()).status == 101
        await client.send(data[7:])
        assert await client.message() == "in two parts"

    play(scenario)


def test_control_frames_between_fragments(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(
            frame(TEXT, b"one ", is_final=False)
            + frame(PING, b"first")
            + frame(CONTINUATION, b"two ", is_final=False)
            + frame(PONG, b"nobody asked")
            + frame(CONTINUATION, b"", is_final=False)
            + frame(PING, b"second")
            + frame(CONTINUATION, b"three")
        )
        pongs = [await client.frame(), await client.frame()]
        assert [(pong.opcode, pong.payload) for pong in pongs] == [(PONG, b"first"), (PONG, b"second")]
        assert await client.message() == "one two three"

    play(scenario)


@pytest.mark.parametrize("count", [2, 1000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_of_many_fragments(play: Play, path: str, opcode: int, count: int) -> None:
    parts = [frame(opcode, b"ab", is_final=False)]
    parts += [frame(CONTINUATION, b"ab", is_final=False)] * (count - 2)
    parts += [frame(CONTINUATION, b"ab")]

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(b"".join(parts))
        expected = b"ab" * count
        assert await client.message() == (expected.decode() if opcode == TEXT else expected)

    play(scenario)


def test_a_message_of_empty_fragments_is_empty(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(TEXT, is_final=False) + frame(CONTINUATION, is_final=False) + frame(CONTINUATION))
        assert await client.message() == ""
        await client.send(frame(BINARY) + frame(TEXT))
        assert await client.message() == b""
        assert await client.message() == ""

    play(scenario)


@pytest.mark.parametrize("form", ["16 bit", "64 bit"])
def test_a_length_that_is_longer_than_needed_is_understood(
    play: Play, path: str, form: Literal["16 bit", "64 bit"]
) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(TEXT, b"short", length_form=form))
        assert await client.message() == "short"

    play(scenario)


def test_a_ping_of_the_greatest_size_is_answered(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(PING, b"x" * 125))
        answer = await client.frame()
        assert (answer.opcode, answer.payload) == (PONG, b"x" * 125)

    play(scenario)


def test_a_flood_of_pings_does_not_hold_up_messages(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(PING, b"x") * 5000 + frame(TEXT, b"through"))
        received = await client.frame()
        while received.opcode == PONG:
            received = await client.frame()
        assert received.payload == b"through"

    play(scenario)


@pytest.mark.parametrize(
    "replace",
    [
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"connection": "upgrade", "Connection": "keep-alive"},
    ],
)
def test_header_values_are_compared_as_http_wants(play: Play, path: str, replace: dict[str, str]) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path, replace=replace))
        assert (await client.answer()).status == 101

    play(scenario)


def test_an_extension_that_nobody_knows_is_not_negotiated(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path, add=[("Sec-WebSocket-Extensions", "x-unknown; a=1, permessage-deflate; b")]))
        answer = await client.answer()
        assert answer.status == 101
        assert "sec-websocket-extensions" not in answer.headers

    play(scenario)
