from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import WINDOW_BYTES
from penstock.trunk.response import ResponseStream
from penstock_testing.request_kit import response, settle
from penstock_testing.trunk_pair import RecordingSink, TrunkPair
from penstock_testing.virtual_time import run_virtual


class FailedError(Exception):
    def __init__(self, code: EndCode, text: str) -> None:
        super().__init__(code, text)
        self.code = code


class Asking(ResponseStream):
    def __init__(self, pair: TrunkPair) -> None:
        super().__init__(asyncio.get_running_loop())
        self.pair = pair
        sink, self.model = pair.connect()
        self._stream = sink.trunk_stream
        self._stream.sink = self
        self.heads: list[int] = []

    def _failure_of(self, code: EndCode, text: str = "") -> Exception:
        return FailedError(code, text)

    def _head_came(self, head: trunk_pb2.ResponseHead) -> None:
        self.heads.append(head.status)


def played(scenario: Callable[[TrunkPair, Asking, RecordingSink], Awaitable[None]], *, consumes: bool = True) -> None:
    async def main() -> None:
        pair = TrunkPair(consumes=consumes)
        pair.settle()
        asking = Asking(pair)
        await scenario(pair, asking, asking.model)

    run_virtual(main())


def test_head_then_parts_then_the_end() -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        heading = asyncio.create_task(asking.head())
        await settle()
        model.trunk_stream.send(Kind.BINARY, response(200, b"a", more=True))
        pair.settle()
        assert (await heading).body == b"a"
        assert asking.heads == [200]
        parting = asyncio.create_task(asking.next_part())
        await settle()
        model.trunk_stream.send(Kind.BINARY, b"b")
        model.trunk_stream.close(EndCode.COMPLETED, 1000)
        pair.settle()
        assert await parting == b"b"
        assert await asking.next_part() is None
        assert asking.messages_out == 1

    played(scenario)


def test_a_head_may_come_in_segments() -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        head = response(200, b"x" * 50)
        for kind, data in ((Kind.BINARY_FIRST, head[:10]), (Kind.MIDDLE, head[10:20]), (Kind.LAST, head[20:])):
            model.trunk_stream.send(kind, data)
        pair.settle()
        assert (await asking.head()).body == b"x" * 50

    played(scenario)


def test_an_item_is_put_together_and_credit_goes_back_as_it_is_taken() -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        item = bytes(range(256)) * 16 * 1024
        model.trunk_stream.send(Kind.BINARY, response(200, more=True))
        model.trunk_stream.send(Kind.BINARY, item)
        pair.settle()
        assert model.trunk_stream.is_blocked, "nothing was taken yet"
        assert asking.bytes_out < WINDOW_BYTES + 100
        taking = asyncio.create_task(asking.next_item(len(item)))
        while not taking.done():
            await settle()
            pair.settle()
        assert await taking == item

    played(scenario)


def test_an_item_above_the_limit_is_refused() -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        model.trunk_stream.send(Kind.BINARY, response(200, more=True))
        model.trunk_stream.send(Kind.BINARY_FIRST, b"x" * 60)
        model.trunk_stream.send(Kind.LAST, b"x" * 60)
        pair.settle()
        with pytest.raises(FailedError) as caught:
            await asking.next_item(100)
        assert caught.value.code is EndCode.MESSAGE_TOO_BIG

    played(scenario)


@pytest.mark.parametrize("data", [b"\xff\xff\xff", response(99), response(600)], ids=["garbage", "99", "600"])
def test_what_is_no_head_is_a_defect_of_the_replica(data: bytes) -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        model.trunk_stream.send(Kind.BINARY, data)
        pair.settle()
        with pytest.raises(FailedError) as caught:
            await asking.head()
        assert caught.value.code is EndCode.INTERNAL
        assert asking.heads == []

    played(scenario)


def test_an_end_without_a_head_is_a_defect_too() -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        heading = asyncio.create_task(asking.head())
        await settle()
        model.trunk_stream.close(EndCode.COMPLETED, 1000)
        pair.settle()
        with pytest.raises(FailedError, match="sent no response"):
            await heading

    played(scenario)


def test_a_cut_response_hands_out_what_has_come_first() -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        model.trunk_stream.send(Kind.BINARY, response(200, more=True))
        model.trunk_stream.send(Kind.BINARY, b"a")
        model.trunk_stream.close(EndCode.MODEL_ERROR, 1000, "why")
        pair.settle()
        assert await asking.next_part() == b"a"
        with pytest.raises(FailedError, match="why"):
            await asking.next_part()

    played(scenario)


def test_a_body_waits_for_the_model_and_ends_when_it_is_not_wanted() -> None:
    async def scenario(pair: TrunkPair, asking: Asking, model: RecordingSink) -> None:
        assert await asking.send_body(b"first")
        sending = asyncio.create_task(asking.send_body(bytes(2 * WINDOW_BYTES)))
        await settle()
        pair.settle()
        assert not sending.done()
        model.trunk_stream.close(EndCode.MODEL_ERROR, 1000)
        pair.settle()
        assert await sending is False
        assert await asking.send_body(b"more") is False

    played(scenario, consumes=False)
