"""Conversations from runner to runner over real connections."""

from __future__ import annotations

import asyncio
import os

import pytest
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from penstock.api.control.v1 import control_pb2
from penstock.chains.remote.transport import Call
from penstock.close_codes import EndCode
from penstock.errors import PenstockError
from penstock.trunk.limits import WINDOW_BYTES
from penstock_testing.chain_calls_kit import (
    chain_calls,
    goes_through,
    run_calls,
    until,
)

MIB = 1024 * 1024


async def shout(websocket: WebSocket) -> None:
    """Repeats every message twice, until an empty one comes."""
    assert websocket.headers["x-a"] == "1"
    while data := await websocket.receive_bytes():
        await websocket.send_bytes(data + data)


TALK = Call(headers={"x-a": "1"})


def test_a_conversation_carries_messages_of_every_size_both_ways() -> None:
    async def main() -> None:
        async with chain_calls(handler=shout) as calls:
            async with calls.transport.converse(TALK) as conversation:
                for size in (1, 300_000, 2 * MIB):
                    message = os.urandom(size)
                    await conversation.send(message)
                    assert await conversation.receive() == message * 2
                await conversation.send(b"")
                with pytest.raises(PenstockError) as caught:
                    await conversation.receive()
                assert (caught.value.code, caught.value.close_code) == (EndCode.COMPLETED, 1000)
                with pytest.raises(PenstockError):
                    await conversation.send(b"late")
            await calls.idle()

    run_calls(main)


def test_a_callee_that_closes_well_has_completed() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_bytes(b"last")
        await websocket.close(1000)

    async def main() -> None:
        async with chain_calls(handler=handler) as calls, calls.transport.converse(TALK) as conversation:
            assert await conversation.receive() == b"last"
            with pytest.raises(PenstockError) as caught:
                await conversation.receive()
            assert caught.value.code is EndCode.COMPLETED

    run_calls(main)


def test_a_callee_that_closes_with_a_code_of_its_own_is_told_apart() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.close(4001, "why")

    async def main() -> None:
        async with chain_calls(handler=handler) as calls, calls.transport.converse(TALK) as conversation:
            with pytest.raises(PenstockError) as caught:
                await conversation.receive()
            ended = caught.value
            assert (ended.code, ended.close_code, ended.reason) == (EndCode.MODEL_CLOSED, 4001, "why")

    run_calls(main)


def test_leaving_a_conversation_cancels_the_callee_at_once() -> None:
    ended: list[int] = []

    async def handler(websocket: WebSocket) -> None:
        try:
            while True:
                await websocket.receive_bytes()
        except WebSocketDisconnect as left:
            ended.append(left.code)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with chain_calls(handler=handler) as calls:
            async with calls.transport.converse(TALK) as conversation:
                await conversation.send(b"a")
            left_at = loop.time()
            await until(lambda: ended == [1006], "the callee knows")
            assert loop.time() - left_at < 0.2
            await calls.idle()

    run_calls(main)


def test_a_callee_that_takes_nothing_stops_the_sender_of_a_conversation() -> None:
    async def handler(websocket: WebSocket) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        sent = 0
        async with chain_calls(handler=handler) as calls:
            async with calls.transport.converse(TALK) as conversation:
                while await goes_through(conversation.send(b"x" * 10_000)):
                    sent += 10_000
            assert WINDOW_BYTES < sent < 2 * WINDOW_BYTES + 64 * 1024
            await calls.idle()

    run_calls(main)


def test_a_conversation_waits_for_a_slot_too() -> None:
    async def main() -> None:
        async with chain_calls(handler=shout, slots=1) as calls:
            async with calls.transport.converse(TALK):
                second = calls.transport.converse(TALK)
                entering = asyncio.create_task(second.__aenter__())
                await until(lambda: calls.edge.plane.waiting.has("callee-1"), "the second one waits")
                assert not entering.done()
            conversation = await entering
            await conversation.send(b"ab")
            assert await conversation.receive() == b"abab"
            await second.__aexit__(None, None, None)
            await calls.idle()

    run_calls(main)


def test_messages_above_the_limit_of_the_callee_end_the_conversation() -> None:
    async def main() -> None:
        settings = control_pb2.StreamSettings(message_bytes_max=1000)
        async with chain_calls(handler=shout, settings=settings) as calls:
            async with calls.transport.converse(TALK) as conversation:
                await conversation.send(b"x" * 1001)
                with pytest.raises(PenstockError) as caught:
                    await conversation.receive()
                assert caught.value.code is EndCode.MESSAGE_TOO_BIG
            await calls.idle()

    run_calls(main)
