"""Text that is not UTF-8 ends the stream with 1007, wherever the bad bytes are (RFC 6455 section 8.1)."""

from __future__ import annotations

import pytest

from penstock_testing.raw_websocket import BINARY, CONTINUATION, TEXT, Play, RawWebSocket, frame
from penstock_testing.witness import Witness

BAD_TEXT: dict[str, bytes] = {
    "a lone continuation byte": b"\x80",
    "a lone start": b"abc\xc3",
    "an impossible byte": b"abc\xff",
    "an overlong slash": b"\xc0\xaf",
    "a surrogate": b"\xed\xa0\x80",
    "beyond unicode": b"\xf4\x90\x80\x80",
    "a cut character": "☃".encode()[:2],
    "bad at the end of 300 KiB": b"x" * 300_000 + b"\xff",
    "bad at the start of 300 KiB": b"\xff" + b"x" * 300_000,
}

GOOD = "Grüße ☃ 𝄞" * 10


async def assert_bad_text(client: RawWebSocket) -> None:
    close = await client.closed()
    assert close is not None, "the connection ended without a close frame"
    assert close.close_code == 1007


@pytest.mark.parametrize("name", BAD_TEXT)
def test_a_whole_message(play: Play, path: str, case: str, witness: Witness, name: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send_and_ignore_reset(frame(TEXT, BAD_TEXT[name]))
        await assert_bad_text(client)

    play(scenario)
    assert witness.wait_told(case)[0] == 1007


@pytest.mark.parametrize("name", BAD_TEXT)
def test_a_message_in_two_fragments(play: Play, path: str, name: str) -> None:
    data = BAD_TEXT[name]
    half = len(data) // 2

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send_and_ignore_reset(
            frame(TEXT, data[:half], is_final=False) + frame(CONTINUATION, data[half:], is_final=True)
        )
        await assert_bad_text(client)

    play(scenario)


def test_a_character_that_is_cut_by_the_end_of_the_message(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(TEXT, b"a\xe2\x98", is_final=False) + frame(CONTINUATION))
        await assert_bad_text(client)

    play(scenario)


def test_bad_bytes_are_noticed_before_the_message_is_complete(play: Play, path: str) -> None:
    """The message never ends; a server that waited for its end would wait for ever."""

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(TEXT, b"\xff\xff", is_final=False))
        await assert_bad_text(client)

    play(scenario)


@pytest.mark.parametrize("position", [262_143, 262_144, 262_145, 299_999])
def test_bad_bytes_around_the_border_of_a_segment(play: Play, path: str, position: int) -> None:
    """Long messages travel in segments of 256 KiB."""
    data = bytearray(b"x" * 300_000)
    data[position] = 0xFF

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send_and_ignore_reset(frame(TEXT, bytes(data)))
        await assert_bad_text(client)

    play(scenario)


def test_good_text_may_be_cut_anywhere(play: Play, path: str) -> None:
    data = GOOD.encode()

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        for cut in range(len(data)):
            await client.send(frame(TEXT, data[:cut], is_final=False) + frame(CONTINUATION, data[cut:]))
            assert await client.message() == GOOD

    play(scenario)


@pytest.mark.parametrize("shift", range(4))
def test_good_text_may_be_cut_by_segments(play: Play, path: str, shift: int) -> None:
    text = "x" * shift + "𝄞" * 150_000

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(TEXT, text.encode()))
        assert await client.message() == text

    play(scenario)


def test_binary_may_be_anything(play: Play, path: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        for data in BAD_TEXT.values():
            await client.send(frame(BINARY, data))
            assert await client.message() == data

    play(scenario)
