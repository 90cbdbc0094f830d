"""Close frames, good and bad: what the client gets back, and what the model is told (RFC 6455 sections 5.5.1, 7.4)."""

from __future__ import annotations

import pytest

from penstock_testing.raw_websocket import CLOSE, PING, TEXT, Play, RawWebSocket, close_payload, frame
from penstock_testing.witness import Witness

BAD_CLOSES: dict[str, tuple[bytes, int]] = {
    "one byte": (b"\x03", 1002),
    **{
        f"code {code}": (close_payload(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "a reason that is not UTF-8": (close_payload(1000, b"\xff\xfe"), 1007),
    "a reason that is cut": (close_payload(1000, "☃".encode()[:2]), 1007),
}


@pytest.mark.parametrize("name", BAD_CLOSES)
def test_a_bad_close_frame_is_a_violation(play: Play, path: str, case: str, witness: Witness, name: str) -> None:
    payload, code = BAD_CLOSES[name]

    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(CLOSE, payload))
        close = await client.closed()
        assert close is not None, "the connection ended without a close frame"
        assert close.close_code == code

    play(scenario)
    assert witness.wait_told(case)[0] == code


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_a_good_close_frame_is_answered_and_reaches_the_model(
    play: Play, path: str, case: str, witness: Witness, code: int
) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(CLOSE, close_payload(code, "tschüß".encode())))
        close = await client.closed()
        assert close is not None, "the connection ended without a close frame"
        assert close.close_code == code

    play(scenario)
    assert witness.wait_told(case) == (code, "tschüß")


def test_a_close_frame_without_a_code_reaches_the_model_as_1005(
    play: Play, path: str, case: str, witness: Witness
) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(CLOSE))
        close = await client.closed()
        assert close is not None, "the connection ended without a close frame"
        assert close.close_code in (None, 1000)

    play(scenario)
    assert witness.wait_told(case)[0] == 1005


def test_the_longest_reason_passes(play: Play, path: str, case: str, witness: Witness) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(CLOSE, close_payload(4000, b"r" * 123)))
        close = await client.closed()
        assert close is not None, "the connection ended without a close frame"

    play(scenario)
    assert witness.wait_told(case) == (4000, "r" * 123)


def test_what_follows_a_close_frame_is_ignored(play: Play, path: str, case: str, witness: Witness) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(CLOSE, close_payload(4000)) + frame(TEXT, b"late") + frame(PING) + frame(3))
        close = await client.closed()
        assert close is not None, "the connection ended without a close frame"
        assert close.close_code == 4000

    play(scenario)
    assert witness.wait_told(case)[0] == 4000


def test_a_close_frame_inside_of_a_fragmented_message_ends_the_stream(
    play: Play, path: str, case: str, witness: Witness
) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(frame(TEXT, b"unfinished", is_final=False) + frame(CLOSE, close_payload(1000)))
        close = await client.closed()
        assert close is not None, "the connection ended without a close frame"
        assert close.close_code == 1000

    play(scenario)
    assert witness.wait_told(case)[0] == 1000
