from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.api.trunk.v1 import trunk_pb2
from penstock.chains.remote import trunk_call
from penstock.chains.remote.trunk_call import RefusedError, TrunkCall, WholeCall, headers_of, refusal
from penstock.close_codes import EndCode
from penstock.errors import CapacityError, ClientError, InternalError, PenstockError, UpstreamError
from penstock.trunk.batch import Kind
from penstock.trunk.limits import WINDOW_BYTES
from penstock_testing.request_kit import response, settle
from penstock_testing.trunk_pair import RecordingSink, TrunkPair
from penstock_testing.virtual_time import run_virtual


class Kit:
    """A call on a trunk in memory, whose other end is the test's."""

    def __init__(self, kind: type[TrunkCall]) -> None:
        self.pair = TrunkPair(accepts=False)
        self.pair.settle()
        sink = self.pair.open()
        self.call = kind(asyncio.get_running_loop(), sink.trunk_stream)
        self.pair.settle()
        self.callee: RecordingSink = self.pair.runner_sinks[sink.trunk_stream.id]

    def accept(self) -> None:
        self.pair.accept(self.callee.trunk_stream.id)
        self.pair.settle()

    def send(self, *items: bytes, kind: int = Kind.BINARY) -> None:
        for item in items:
            self.callee.trunk_stream.send(kind, item)
        self.pair.settle()

    def close(self, code: EndCode = EndCode.COMPLETED, reason: str = "") -> None:
        self.callee.trunk_stream.close(code, 1000, reason)
        self.pair.settle()

    def assert_nothing_left(self) -> None:
        self.pair.settle()
        assert self.pair.edge.streams == {} == self.pair.runner.streams


def played(scenario: Callable[[Kit], Awaitable[None]], kind: type[TrunkCall] = WholeCall) -> None:
    async def main() -> None:
        await scenario(Kit(kind))

    run_virtual(main())


def whole(kit: Kit) -> WholeCall:
    assert isinstance(kit.call, WholeCall)
    return kit.call


def test_a_whole_response_is_its_head_and_all_that_follows() -> None:
    async def scenario(kit: Kit) -> None:
        replying = asyncio.create_task(whole(kit).reply())
        await settle()
        kit.accept()
        kit.send(response(201, b"a", headers=[("X-A", "1")], more=True), b"b", b"c" * 3 * WINDOW_BYTES)
        await settle()
        assert not replying.done()
        kit.close()

        reply = await replying
        assert (reply.status, reply.headers, bytes(reply.body)) == (201, {"x-a": "1"}, b"ab" + b"c" * 3 * WINDOW_BYTES)
        kit.call.close()
        kit.assert_nothing_left()
        assert kit.callee.closings[-1].code is EndCode.COMPLETED

    played(scenario)


def test_one_part_is_not_copied() -> None:
    async def scenario(kit: Kit) -> None:
        kit.accept()
        kit.send(response(200), b"all of it")
        kit.close()
        assert (await whole(kit).reply()).body == b"all of it"

    played(scenario)


def test_a_response_above_the_bound_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_call, "REPLY_BYTES_MAX", 100)

    async def scenario(kit: Kit) -> None:
        kit.accept()
        kit.send(response(200, more=True), b"x" * 60, b"x" * 60)
        with pytest.raises(ClientError) as caught:
            await whole(kit).reply()
        assert caught.value.code is EndCode.MESSAGE_TOO_BIG
        kit.call.close()
        kit.pair.settle()
        assert kit.callee.closings[-1].code is EndCode.CLIENT_GONE

    played(scenario)


@pytest.mark.parametrize(
    ("code", "reason", "kind", "text"),
    [
        (EndCode.REPLICA_LOST, "", UpstreamError, "Replica was lost"),
        (EndCode.MODEL_ERROR, "cut", UpstreamError, "cut"),
        (EndCode.INTERNAL, "", InternalError, "Internal error"),
    ],
)
def test_an_end_without_a_response_has_its_class(
    code: EndCode, reason: str, kind: type[PenstockError], text: str
) -> None:
    async def scenario(kit: Kit) -> None:
        kit.accept()
        kit.close(code, reason)
        with pytest.raises(kind, match=text) as caught:
            await whole(kit).reply()
        assert caught.value.code is code

    played(scenario)


def test_a_refusal_carries_what_was_said() -> None:
    async def scenario(kit: Kit) -> None:
        reject = trunk_pb2.RejectStream(code="QUEUE_TIMEOUT", reason="full", retry_after_seconds=3)
        kit.pair.runner.reject(kit.callee.trunk_stream, reject)
        kit.pair.settle()
        with pytest.raises(RefusedError) as caught:
            await whole(kit).reply()
        error = refusal(caught.value.reject)
        assert isinstance(error, CapacityError)
        assert (error.code, error.reason, error.retry_after) == (EndCode.QUEUE_TIMEOUT, "full", 3.0)
        kit.call.close()
        kit.assert_nothing_left()

    played(scenario)


def test_the_code_of_a_newer_edge_is_an_internal_error() -> None:
    assert isinstance(refusal(trunk_pb2.RejectStream(code="SOMETHING_NEW")), InternalError)


def test_a_body_waits_for_the_slot_and_ends_with_an_empty_message() -> None:
    async def scenario(kit: Kit) -> None:
        sending = asyncio.create_task(kit.call.send_rest([b"a", b"b"]))
        await settle()
        kit.pair.settle()
        assert kit.callee.messages == []

        kit.accept()
        await sending
        kit.pair.settle()

        assert kit.callee.messages == [(int(Kind.BINARY), b"a"), (int(Kind.BINARY), b"b"), (int(Kind.BINARY), b"")]

    played(scenario)


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_body_that_nobody_wants_is_not_waited_with(is_refused: bool) -> None:
    async def scenario(kit: Kit) -> None:
        sending = asyncio.create_task(kit.call.send_rest([bytes(4 * WINDOW_BYTES)]))
        await settle()
        if is_refused:
            kit.pair.runner.reject(kit.callee.trunk_stream, trunk_pb2.RejectStream(code="REPLICA_FULL"))
        else:
            kit.accept()
            await settle()
            kit.callee.trunk_stream.close(EndCode.MODEL_ERROR, 1000)
        kit.pair.settle()

        await sending
        with pytest.raises((RefusedError, UpstreamError)):
            await whole(kit).reply()

    played(scenario)


def test_letting_go_early_tells_the_callee_and_what_still_comes_is_dropped() -> None:
    async def scenario(kit: Kit) -> None:
        kit.accept()
        kit.call.close()
        kit.send(response(200, b"late"))
        kit.call.close()
        kit.pair.settle()

        assert [(closing.code, closing.close_code) for closing in kit.callee.closings] == [(EndCode.CLIENT_GONE, 1006)]
        kit.close()
        kit.assert_nothing_left()

    played(scenario)


def test_items_are_those_of_the_callee_without_empty_ones() -> None:
    async def scenario(kit: Kit) -> None:
        kit.accept()
        kit.send(response(200, b"first", more=True), b"", b"second")
        kit.send(b"th", kind=Kind.BINARY_FIRST)
        kit.send(b"ird", kind=Kind.LAST)
        kit.close()
        assert [item async for item in kit.call.items()] == [b"first", b"second", b"third"]

    played(scenario, TrunkCall)


def test_of_several_headers_of_one_name_the_last_counts() -> None:
    head = trunk_pb2.ResponseHead.FromString(response(200, headers=[("A", "1"), ("a", "ä")]))
    assert headers_of(head) == {"a": "ä"}
