"""However a client leaves, the model is told at once and its slot is free again."""

from __future__ import annotations

import asyncio

import pytest

from penstock_testing.raw_websocket import (
    BINARY,
    CLOSE,
    TEXT,
    Play,
    RawWebSocket,
    close_payload,
    frame,
    raw_websocket,
    upgrade,
)
from penstock_testing.static_platform import StaticPlatform, wait_until
from penstock_testing.witness import Witness

GONE = {1005, 1006}
"""What a model is told when there was no close frame: servers of Truss say either."""

PATIENCE_SECONDS = 20.0
"""Twice what the edge grants a client that does not do its part."""

MOMENTS: dict[str, bytes] = {
    "between messages": b"",
    "in the header of a frame": frame(TEXT, b"abc")[:1],
    "in the mask of a frame": frame(TEXT, b"abc")[:4],
    "in the payload of a short frame": frame(TEXT, b"abcdef")[:8],
    "in the payload of a long frame": frame(BINARY, b"x" * 1_000_000)[:600_000],
    "inside of a fragmented message": frame(TEXT, b"abc", is_final=False),
    "in a control frame": frame(CLOSE, close_payload(1000))[:5],
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_half_closed_connection_ends_the_stream(
    play: Play, path: str, case: str, witness: Witness, moment: str
) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(MOMENTS[moment])
        client.half_close()
        await client.closed()

    play(scenario)
    assert witness.wait_told(case)[0] in GONE


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_reset_connection_ends_the_stream(play: Play, path: str, case: str, witness: Witness, moment: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.upgraded(path)
        await client.send(MOMENTS[moment])
        client.reset()

    play(scenario)
    assert witness.wait_told(case)[0] in GONE


@pytest.mark.parametrize("cut", [1, 20, 60])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_client_that_leaves_within_its_upgrade_leaves_nothing(play: Play, path: str, cut: int, how: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path)[:cut])
        if how == "fin":
            client.half_close()
            await client.everything()
        else:
            client.reset()

    play(scenario)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_client_that_leaves_right_behind_its_upgrade_leaves_nothing(play: Play, path: str, how: str) -> None:
    async def scenario(client: RawWebSocket) -> None:
        await client.send(upgrade(path) + frame(TEXT, b"fire and forget"))
        if how == "fin":
            client.half_close()
        else:
            client.reset()

    play(scenario)


def test_messages_before_a_half_close_reach_the_model(platform: StaticPlatform, path: str) -> None:
    """The answers may get lost, the order of what the model sees may not: it is told of the end last."""

    async def run() -> None:
        async with raw_websocket(platform.http) as client:
            await client.upgraded(path)
            await client.send(frame(TEXT, b"last") + frame(CLOSE, close_payload(1000)))
            client.half_close()
            close = await client.closed()
            assert close is not None, "the connection ended without a close frame"
            assert close.close_code == 1000

    asyncio.run(run())


def test_clients_that_let_the_edge_wait_are_cut_off(platform: StaticPlatform, path: str) -> None:
    """One never finishes its upgrade; one neither answers a close frame nor leaves. The edge grants each 10 s."""

    async def never_upgrades() -> None:
        async with raw_websocket(platform.http) as client:
            await client.send(upgrade(path)[:50])
            assert (await client.everything(PATIENCE_SECONDS)).startswith((b"", b"HTTP/1.1 4"))

    async def never_closes() -> None:
        async with raw_websocket(platform.http) as client:
            await client.upgraded(path)
            await client.send(frame(3))
            close = await client.closed()
            assert close is not None, "the connection ended without a close frame"
            await asyncio.to_thread(
                wait_until, lambda: platform.ongoing_streams() == 0, PATIENCE_SECONDS, "the edge has dropped the stream"
            )

    async def run() -> None:
        await asyncio.gather(never_upgrades(), never_closes())

    asyncio.run(run())


def test_two_hundred_clients_that_leave_at_once_leave_nothing(
    platform: StaticPlatform, path: str, case: str, witness: Witness
) -> None:
    async def run() -> None:
        async def come_and_go(number: int) -> None:
            async with raw_websocket(platform.http) as client:
                await client.upgraded(path)
                await client.send(frame(TEXT, b"hello"))
                assert await client.message() == "hello"
                if number % 2:
                    client.reset()

        await asyncio.gather(*(come_and_go(number) for number in range(200)))

    asyncio.run(run())
    wait_until(lambda: len(witness.told(case)) == 200, 30, "every handler has ended")
