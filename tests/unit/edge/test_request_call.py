from __future__ import annotations

import asyncio

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import SEGMENT_BYTES_MAX, WINDOW_BYTES
from penstock_edge.request_call import CallFailedError, RequestCall
from penstock_testing.edge_kit import ModelSide
from penstock_testing.request_kit import RequestKit, answer, response, settle
from penstock_testing.virtual_time import run_virtual


def made(kit: RequestKit, *, body_follows: bool = False, timeout_s: float | None = None) -> RequestCall:
    deployment = kit.plane.table.by_id("echo-1")
    assert deployment is not None
    return RequestCall(
        kit.plane, deployment, headers=[], body=b"in", body_follows=body_follows, timeout_s=timeout_s, transport="http"
    )


async def begun(kit: RequestKit, *, body_follows: bool = False) -> tuple[RequestCall, ModelSide]:
    call = made(kit, body_follows=body_follows)
    call.begin()
    return call, await kit.accepted()


def played(scenario: object) -> None:
    async def main() -> None:
        kit = RequestKit()
        await scenario(kit)  # type: ignore[operator]  # a coroutine function
        await settle()
        kit.assert_nothing_left()

    run_virtual(main())


def samples(kit: RequestKit, name: str) -> list[str]:
    return [line for line in kit.plane.metrics.render().decode().splitlines() if line.startswith(name)]


def test_a_call_is_counted_from_its_slot_to_its_end() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit)
        assert (call.is_open, call.replica_id, call.attempts, kit.plane.active_streams) == (True, "r1", 1, 1)
        answer(side, b"out")
        head = await call.head()
        assert (head.status, head.body, head.body_follows) == (200, b"out", False)
        call.close()
        assert not call.is_open
        assert samples(kit, "baseten_concurrent_requests{")[0].endswith(" 0.0")
        (line,) = samples(kit, "baseten_inference_requests_total{")
        assert 'status_code="200"' in line and line.endswith(" 1.0")

    played(scenario)


def test_items_come_whole_and_parts_as_they_are() -> None:
    item = bytes(SEGMENT_BYTES_MAX + 10)

    async def scenario(kit: RequestKit) -> None:
        for whole in (True, False):
            call, side = await begun(kit) if whole else (made(kit), None)
            if side is None:
                call.begin()
                side = await kit.accepted(1)
            side.send(Kind.BINARY, response(200, b"first", more=True))
            side.send(Kind.BINARY, item)
            side.send(Kind.BINARY, b"last")
            side.close()
            assert (await call.head()).body == b"first"
            got = []
            while (part := await (call.next_item(10**6) if whole else call.next_part())) is not None:
                got.append(len(part))
            assert got == ([len(item), 4] if whole else [SEGMENT_BYTES_MAX, 10, 4])
            call.close()

    played(scenario)


def test_an_item_beyond_what_is_asked_for_is_refused() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit)
        side.send(Kind.BINARY, response(200, more=True))
        side.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX + 10))
        await call.head()
        with pytest.raises(CallFailedError) as failure:
            await call.next_item(1000)
        assert failure.value.code is EndCode.MESSAGE_TOO_BIG
        call.close()
        kit.runners["r1"].pump()
        side.close()

    played(scenario)


def test_a_model_is_held_up_while_nobody_takes_its_response() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit)
        side.send(Kind.BINARY, response(200, more=True))
        await call.head()
        sent = 0
        while side.send(Kind.BINARY, bytes(100_000)):
            sent += 100_000
        assert sent <= WINDOW_BYTES
        held = kit.runners["r1"].edge
        while await asyncio.wait_for(call.next_part(), 1):
            kit.runners["r1"].pump()
            if not side.stream.is_blocked:
                break
        assert held.fault is None
        side.close()
        while await call.next_part() is not None:
            kit.runners["r1"].pump()
        call.close()

    played(scenario)


def test_the_body_waits_for_the_model() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit, body_follows=True)
        sending = asyncio.create_task(_send_much(call, 3 * WINDOW_BYTES))
        await settle()
        kit.runners["r1"].pump()
        received = 0
        assert not sending.done()
        while not sending.done():
            received += sum(len(data) for _, data in side.take())
            assert received <= call.bytes_in
            await settle()
            kit.runners["r1"].pump()
        assert await sending
        answer(side, b"1")
        await call.head()
        call.close()

    played(scenario)


async def _send_much(call: RequestCall, size: int) -> bool:
    for _ in range(size // 100_000):
        if not await call.send_body(bytes(100_000)):
            return False
    return await call.send_body(b"")


@pytest.mark.parametrize("how", ["answers", "leaves", "is lost"])
def test_who_sends_a_body_learns_that_it_is_not_wanted(how: str) -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit, body_follows=True)
        sending = asyncio.create_task(_send_much(call, 3 * WINDOW_BYTES))
        await settle()
        if how == "answers":
            answer(side, b"1", 400)
        elif how == "leaves":
            call.client_gone()
        else:
            kit.runners["r1"].lose()
        assert not await sending
        call.close()
        if how != "is lost":
            kit.runners["r1"].pump()
            side.close()

    played(scenario)


def test_a_call_that_is_let_go_tells_the_model_and_keeps_its_place_until_it_has_heard() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit)
        call.close()
        kit.runners["r1"].pump()
        assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE
        assert kit.active("r1") == 1, "the model may still work"
        side.close()

    played(scenario)


def test_a_call_that_is_let_go_while_it_waits_asks_nobody() -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.apply()
        call = made(kit)
        call.begin()
        assert kit.plane.waiting.has("echo-1")
        call.close()
        assert not kit.plane.waiting.has("echo-1")
        kit.assert_nothing_left()

    run_virtual(main())


def test_the_time_for_an_answer_includes_the_wait_for_a_slot() -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.apply(settings=control_pb2.StreamSettings())
        call = made(kit, timeout_s=4)
        with pytest.raises(CallFailedError) as failure:
            await call.start()
        assert failure.value.code is EndCode.REQUEST_TIMEOUT
        assert kit.plane.now() == pytest.approx(4)
        call.close()
        kit.assert_nothing_left()

    run_virtual(main())


def test_a_replica_that_ends_without_a_response_is_an_error() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit)
        side.close()
        with pytest.raises(CallFailedError) as failure:
            await call.head()
        assert (failure.value.code, failure.value.status) == (EndCode.INTERNAL, 500)
        call.close()

    played(scenario)


def test_the_rest_of_a_response_that_is_lost_is_an_error_behind_what_came() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit)
        side.send(Kind.BINARY, response(200, b"a", more=True))
        side.send(Kind.BINARY, b"b")
        side.close(EndCode.MODEL_ERROR)
        await call.head()
        assert await call.next_part() == b"b"
        with pytest.raises(CallFailedError) as failure:
            await call.next_part()
        assert failure.value.code is EndCode.MODEL_ERROR
        call.close()

    played(scenario)


def test_an_edge_that_drains_ends_what_is_open_at_last() -> None:
    async def scenario(kit: RequestKit) -> None:
        call, side = await begun(kit)
        call.end(EndCode.EDGE_DRAINING)
        with pytest.raises(CallFailedError) as failure:
            await call.head()
        assert (failure.value.status, failure.value.retry_after) == (503, 1)
        call.close()
        kit.runners["r1"].pump()
        side.close()

    played(scenario)
