"""Frames that RFC 6455 forbids end the stream with the right close code, and the model is told."""

from __future__ import annotations

import pytest

from penstock_testing.raw_websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Play,
    RawWebSocket,
    close_payload,
    frame,
)
from penstock_testing.witness import Witness

MIB = 1 << 20

VIOLATIONS: dict[str, tuple[bytes, set[int]]] = {
    "unmasked text": (frame(TEXT, b"abc", is_masked=False), {1002}),
    "unmasked empty binary": (frame(BINARY, is_masked=False), {1002}),
    "unmasked long binary": (frame(BINARY, b"x" * 70_000, is_masked=False), {1002}),
    "unmasked ping": (frame(PING, is_masked=False), {1002}),
    "unmasked close": (frame(CLOSE, close_payload(1000), is_masked=False), {1002}),
    **{f"reserved bits {bits:03b}": (frame(TEXT, b"abc", reserved=bits), {1002}) for bits in range(1, 8)},
    "reserved bit on a ping": (frame(PING, reserved=4), {1002}),
    "reserved bit on a continuation": (
        frame(TEXT, b"a", is_final=False) + frame(CONTINUATION, b"b", reserved=4),
        {1002},
    ),
    **{f"reserved opcode {opcode}": (frame(opcode), {1002}) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping of 126 bytes": (frame(PING, b"x" * 126), {1002}),
    "pong of 64 KiB": (frame(PONG, b"x" * 65_536), {1002}),
    "close of 126 bytes": (frame(CLOSE, close_payload(1000, b"x" * 124)), {1002}),
    "ping with a 16 bit length": (frame(PING, b"abc", length_form="16 bit"), {1002}),
    "fragmented ping": (frame(PING, b"abc", is_final=False), {1002}),
    "fragmented close": (frame(CLOSE, close_payload(1000), is_final=False), {1002}),
    "continuation without a start": (frame(CONTINUATION, b"abc"), {1002}),
    "unfinished continuation without a start": (frame(CONTINUATION, b"abc", is_final=False), {1002}),
    "continuation after the last": (
        frame(TEXT, b"a", is_final=False) + frame(CONTINUATION, b"b") + frame(CONTINUATION, b"c"),
        {1002},
    ),
    "text inside of a fragmented text": (frame(TEXT, b"a", is_final=False) + frame(TEXT, b"b"), {1002}),
    "binary inside of a fragmented text": (frame(TEXT, b"a", is_final=False) + frame(BINARY, b"b"), {1002}),
    "fragment inside of a fragmented binary": (
        frame(BINARY, b"a", is_final=False) + frame(BINARY, b"b", is_final=False),
        {1002},
    ),
    "long binary inside of a fragmented text": (
        frame(TEXT, b"a", is_final=False) + frame(BINARY, b"b" * 300_000),
        {1002},
    ),
    # RFC 6455 section 5.2: the most significant bit must be 0. As a number it is far beyond every limit.
    "length with the top bit set": (frame(BINARY, b"x" * 10, claimed_length=1 << 63), {1002, 1009}),
    "length of all ones": (frame(BINARY, b"x" * 10, claimed_length=(1 << 64) - 1), {1002, 1009}),
    "greatest legal length": (frame(BINARY, b"x" * 10, claimed_length=(1 << 63) - 1), {1009}),
    "a byte beyond the limit": (frame(BINARY, b"x" * 10, claimed_length=100 * MIB + 1), {1009}),
    "text a byte beyond the limit": (frame(TEXT, b"x" * 10, claimed_length=100 * MIB + 1), {1009}),
    "fragments beyond the limit": (
        frame(BINARY, b"x", is_final=False) + frame(CONTINUATION, b"x" * 10, claimed_length=100 * MIB),
        {1009},
    ),
}


async def assert_ended(client: RawWebSocket, codes: set[int]) -> None:
    close = await client.closed()
    assert close is not None, "the connection ended without a close frame"
    assert close.close_code in codes
    assert len(close.payload) <= 125
    assert close.close_reason


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_the_stream(play: Play, path: str, case: str, witness: Witness, name: str) -> None:
    data, codes = VIOLATIONS[name]

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send_and_ignore_reset(data)
        await assert_ended(client, codes)

    play(scenario)
    assert witness.wait_told(case)[0] in codes


@pytest.mark.parametrize("name", ["unmasked text", "reserved opcode 3", "text inside of a fragmented text"])
def test_a_violation_in_pieces_ends_the_stream(play: Play, path: str, case: str, witness: Witness, name: str) -> None:
    data, codes = VIOLATIONS[name]

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send_in_pieces(data)
        await assert_ended(client, codes)

    play(scenario)
    assert witness.wait_told(case)[0] in codes


def test_messages_before_a_violation_are_answered(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(TEXT, b"first"))
        assert await client.message() == "first"
        await client.send(frame(TEXT, b"second") + frame(3))
        await assert_ended(client, {1002})

    play(scenario)


def test_nothing_after_a_violation_reaches_the_model(play: Play, path: str, case: str, witness: Witness) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(3) + frame(TEXT, b"too late") + frame(CLOSE, close_payload(1000)))
        await assert_ended(client, {1002})

    play(scenario)
    assert witness.wait_told(case)[0] == 1002


def test_a_client_that_goes_on_talking_after_a_violation_is_cut_off(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(3))
        for _ in range(64):
            await client.send_and_ignore_reset(frame(BINARY, b"x" * 65_536))
        await assert_ended(client, {1002})

    play(scenario)


def test_random_bytes_end_the_stream(play: Play, path: str) -> None:
    """A fixed pattern that is no valid frame at any of its beginnings."""
    noise = bytes(number * 151 % 256 for number in range(100_000))

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send_and_ignore_reset(b"\xff" + noise)
        await assert_ended(client, {1002})

    play(scenario)
