from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.api.trunk.v1 import trunk_pb2
from penstock.chains.remote.trunk_call import RefusedError
from penstock.chains.remote.trunk_conversation import TrunkConversation
from penstock.close_codes import EndCode
from penstock.errors import PenstockError, UpstreamError
from penstock.trunk.batch import Kind
from penstock.trunk.limits import WINDOW_BYTES
from penstock_testing.request_kit import settle
from penstock_testing.trunk_pair import RecordingSink, TrunkPair
from penstock_testing.virtual_time import run_virtual


class Kit:
    """A conversation on a trunk in memory, whose other end is the test's."""

    def __init__(self, *, accepts: bool, consumes: bool) -> None:
        self.pair = TrunkPair(accepts=accepts, consumes=consumes)
        self.pair.settle()
        sink = self.pair.open()
        self.talk = TrunkConversation(asyncio.get_running_loop(), sink.trunk_stream)
        self.pair.settle()
        self.callee: RecordingSink = self.pair.runner_sinks[sink.trunk_stream.id]

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self.callee.trunk_stream.send(Kind.BINARY, message)
        self.pair.settle()

    def end(self, code: EndCode = EndCode.COMPLETED, close_code: int = 1000, reason: str = "") -> None:
        self.callee.trunk_stream.close(code, close_code, reason)
        self.pair.settle()


def played(scenario: Callable[[Kit], Awaitable[None]], *, accepts: bool = True, consumes: bool = True) -> None:
    async def main() -> None:
        await scenario(Kit(accepts=accepts, consumes=consumes))

    run_virtual(main())


async def over(kit: Kit) -> PenstockError:
    with pytest.raises(PenstockError) as caught:
        await kit.talk.receive()
    return caught.value


def test_it_is_open_when_the_callee_has_given_a_slot() -> None:
    async def scenario(kit: Kit) -> None:
        opening = asyncio.create_task(kit.talk.opened())
        await settle()
        assert not opening.done()
        kit.pair.accept(kit.callee.trunk_stream.id)
        kit.pair.settle()
        await opening

    played(scenario, accepts=False)


def test_without_a_slot_it_is_refused() -> None:
    async def scenario(kit: Kit) -> None:
        kit.pair.runner.reject(kit.callee.trunk_stream, trunk_pb2.RejectStream(code="REPLICA_FULL"))
        kit.pair.settle()
        with pytest.raises(RefusedError):
            await kit.talk.opened()
        kit.talk.close()

    played(scenario, accepts=False)


def test_a_trunk_that_breaks_before_the_answer_is_told_as_that() -> None:
    async def scenario(kit: Kit) -> None:
        kit.pair.edge.lose("lost by the test")
        with pytest.raises(UpstreamError):
            await kit.talk.opened()
        kit.talk.close()

    played(scenario, accepts=False)


def test_messages_that_came_before_the_end_are_handed_out_first() -> None:
    async def scenario(kit: Kit) -> None:
        kit.say(b"a", b"", bytes(WINDOW_BYTES // 4))
        kit.end(EndCode.MODEL_CLOSED, 4001, "why")
        assert [await kit.talk.receive() for _ in range(3)] == [b"a", b"", bytes(WINDOW_BYTES // 4)]
        ended = await over(kit)
        assert (ended.code, ended.close_code, ended.reason) == (EndCode.MODEL_CLOSED, 4001, "why")
        assert (await over(kit)).code is EndCode.MODEL_CLOSED
        kit.talk.close()
        kit.pair.settle()
        assert kit.pair.edge.streams == {}

    played(scenario)


@pytest.mark.parametrize("code", [EndCode.COMPLETED, EndCode.MODEL_CLOSED])
def test_the_callees_return_and_its_ordinary_close_are_the_same_good_end(code: EndCode) -> None:
    async def scenario(kit: Kit) -> None:
        kit.end(code, 1000)
        assert (await over(kit)).code is EndCode.COMPLETED

    played(scenario)


def test_who_receives_is_woken_by_a_message_and_by_the_end() -> None:
    async def scenario(kit: Kit) -> None:
        receiving = asyncio.create_task(kit.talk.receive())
        await settle()
        kit.say(b"a")
        assert await receiving == b"a"
        receiving = asyncio.create_task(kit.talk.receive())
        await settle()
        kit.end(EndCode.MODEL_ERROR)
        with pytest.raises(UpstreamError):
            await receiving

    played(scenario)


def test_a_second_receiver_is_refused() -> None:
    async def scenario(kit: Kit) -> None:
        receiving = asyncio.create_task(kit.talk.receive())
        await settle()
        with pytest.raises(RuntimeError, match="already waiting"):
            await kit.talk.receive()
        receiving.cancel()
        await settle()
        kit.say(b"a")
        assert await kit.talk.receive() == b"a", "one that was cancelled is none"

    played(scenario)


def test_what_is_not_taken_stops_the_callee_after_a_window() -> None:
    async def scenario(kit: Kit) -> None:
        for _ in range(100):
            kit.say(bytes(10_000))
        held = sum(len(data) for data, _ in kit.talk._inbox)
        assert WINDOW_BYTES - 20_000 < held <= WINDOW_BYTES
        for _ in range(100):
            assert len(await kit.talk.receive()) == 10_000
            kit.pair.settle()

    played(scenario)


def test_a_message_larger_than_the_window_comes_whole() -> None:
    async def scenario(kit: Kit) -> None:
        kit.say(b"before", bytes(4 * WINDOW_BYTES))
        assert await kit.talk.receive() == b"before"
        receiving = asyncio.create_task(kit.talk.receive())
        while not receiving.done():
            await settle()
            kit.pair.settle()
        assert await receiving == bytes(4 * WINDOW_BYTES)

    played(scenario)


def test_sending_waits_for_the_callee_and_ends_with_it() -> None:
    async def scenario(kit: Kit) -> None:
        await kit.talk.send(b"a")
        sending = [asyncio.create_task(kit.talk.send(bytes(2 * WINDOW_BYTES))) for _ in range(2)]
        await settle()
        kit.pair.settle()
        assert not any(task.done() for task in sending)

        kit.end(EndCode.MODEL_ERROR)

        for task in sending:
            with pytest.raises(UpstreamError):
                await task
        with pytest.raises(UpstreamError):
            await kit.talk.send(b"late")

    played(scenario, consumes=False)


def test_sending_goes_on_when_the_callee_takes_more() -> None:
    async def scenario(kit: Kit) -> None:
        sending = asyncio.create_task(kit.talk.send(bytes(2 * WINDOW_BYTES)))
        await settle()
        while not sending.done():
            kit.pair.settle()
            kit.callee.consume()
            kit.pair.settle()
            await settle()
        await sending

    played(scenario, consumes=False)


def test_letting_go_early_tells_the_callee() -> None:
    async def scenario(kit: Kit) -> None:
        kit.talk.close()
        kit.pair.settle()
        assert [(closing.code, closing.close_code) for closing in kit.callee.closings] == [(EndCode.CLIENT_GONE, 1006)]

    played(scenario)
