"""Attempts, timeouts and loops of calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.options import RPCOptions
from penstock.chains.remote.background_loop import background_loop, stop_background_loop
from penstock.chains.remote.callee import Callee
from penstock.chains.remote.rpc_errors import GenericRemoteException
from penstock.chains.remote.transport import Call, Reply
from penstock.close_codes import EndCode
from penstock.errors import CapacityError, PenstockError, error_for
from penstock_testing.fake_transport import FakeTransport, Pieces, error_reply, json_reply
from penstock_testing.virtual_time import run_virtual

CALL = Call((b"{}",), {"content-type": "application/json"})


@pytest.fixture(autouse=True)
def no_background_loop() -> Iterator[None]:
    yield
    stop_background_loop()


def callee(transport: FakeTransport, **options: float) -> Callee:
    return Callee("X", RPCOptions(**options), transport)  # type: ignore[arg-type]  # the model checks them


async def never(_call: Call) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    "failure",
    [error_reply("KeyError", "k"), error_for(EndCode.REPLICA_LOST), OSError("x"), json_reply({"error": "text"}, 503)],
    ids=["user", "platform", "other", "text"],
)
def test_every_failure_is_tried_again(failure: Reply | Exception, caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport(failure, failure, json_reply(1))

    with caplog.at_level("INFO", "penstock.chains"):
        reply = run_virtual(callee(transport, retries=3).call(CALL))

    assert reply.body == b"1"
    assert len(transport.calls) == 3
    assert caplog.messages == [
        "Retrying `X`, attempt 1",
        "Retrying `X`, attempt 2",
    ]


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 1), (2, 2)])
def test_retries_are_attempts_in_all(retries: int, attempts: int) -> None:
    transport = FakeTransport(error_for(EndCode.QUEUE_FULL))

    with pytest.raises(CapacityError) as caught:
        run_virtual(callee(transport, retries=retries).call(CALL))

    assert caught.value.code is EndCode.QUEUE_FULL
    assert len(transport.calls) == attempts


def test_a_cancelled_call_is_not_tried_again() -> None:
    transport = FakeTransport(never)

    async def run() -> None:
        target = callee(transport, retries=5)
        task = asyncio.create_task(target.call(CALL))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert target.limit().ongoing == 0

    run_virtual(run())

    assert len(transport.calls) == 1


def test_each_attempt_has_its_time(caplog: pytest.LogCaptureFixture) -> None:
    transport = FakeTransport(never)

    async def run() -> float:
        with pytest.raises(TimeoutError) as caught:
            await callee(transport, retries=2, timeout_sec=0.5).call(CALL)
        assert str(caught.value) == "Timeout calling remote Chainlet `X` (0.5 seconds limit)."
        assert caught.value.__cause__ is None
        return asyncio.get_running_loop().time()

    with caplog.at_level("INFO", "penstock.chains"):
        assert run_virtual(run()) == 1.0

    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [
        ("INFO", "Retrying `X`, attempt 1"),
        ("WARNING", "Timeout calling remote Chainlet `X` (0.5 seconds limit)."),
    ]


def test_a_timeout_in_the_callee_is_an_error_of_the_callee() -> None:
    with pytest.raises(TimeoutError, match="root error at the bottom"):
        run_virtual(callee(FakeTransport(error_reply("TimeoutError", "slow disk"))).call(CALL))


def test_a_timeout_on_the_way_is_not_ours() -> None:
    with pytest.raises(TimeoutError, match="no route"):
        run_virtual(callee(FakeTransport(TimeoutError("no route"))).call(CALL))
    with pytest.raises(TimeoutError, match="no route"):
        run_virtual(streamed(callee(FakeTransport(TimeoutError("no route")))))
    with pytest.raises(TimeoutError, match="no route"):
        run_virtual(streamed(callee(FakeTransport(Pieces([TimeoutError("no route")])))))


def test_no_more_calls_at_once_than_the_limit() -> None:
    async def run() -> int:
        target = callee(FakeTransport(never), concurrency_limit=2, timeout_sec=1.0)
        calls = [asyncio.create_task(target.call(CALL)) for _ in range(5)]
        await asyncio.sleep(0.5)
        found = target.limit().ongoing
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        return found

    assert run_virtual(run()) == 2


def test_a_blocking_call_from_a_thread() -> None:
    target = callee(FakeTransport(error_reply("KeyError", "k"), json_reply(1)), retries=2)

    assert target.call_blocking(CALL).body == b"1"


def test_calls_from_threads_are_made_on_the_transports_loop() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        used: list[object] = []

        async def answer(_call: Call) -> Reply:
            used.append(asyncio.get_running_loop())
            return json_reply(2)

        target = Callee("X", RPCOptions(), FakeTransport(answer), loop)
        await target.call(CALL)
        assert (await asyncio.to_thread(target.call_blocking, CALL)).body == b"2"
        assert (await asyncio.to_thread(lambda: asyncio.run(target.call(CALL)))).body == b"2"
        assert used == [loop] * 3

    asyncio.run(run())


def test_a_blocking_call_on_the_loop_that_would_make_it_is_refused() -> None:
    async def run() -> None:
        target = Callee("X", RPCOptions(), FakeTransport(json_reply(1)), asyncio.get_running_loop())
        with pytest.raises(ChainsRuntimeError, match="A synchronous call to `X` was made on the event loop"):
            target.call_blocking(CALL)

    asyncio.run(run())


def test_a_blocking_call_on_the_transports_loop_takes_the_detour(caplog: pytest.LogCaptureFixture) -> None:
    used: list[object] = []

    async def answer(_call: Call) -> Reply:
        used.append(asyncio.get_running_loop())
        return json_reply(3)

    detour = FakeTransport(error_reply("KeyError", "k"), answer, answer)

    async def run() -> None:
        options = RPCOptions(retries=2)
        target = Callee("X", options, FakeTransport(), asyncio.get_running_loop(), lambda: detour)
        assert target.call_blocking(CALL).body == b"3"
        assert target.call_blocking(CALL).body == b"3"

    with caplog.at_level("WARNING", "penstock.chains"):
        asyncio.run(run())

    assert used == [background_loop()] * 2
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("A synchronous call to `X` in an `async` `run_remote` stops every other")


def test_a_blocking_call_on_the_detours_own_loop_is_refused() -> None:
    refused = Callee("X", RPCOptions(), FakeTransport(), background_loop(), FakeTransport)
    calling = asyncio.run_coroutine_threadsafe(call_on_loop(refused), background_loop())

    with pytest.raises(ChainsRuntimeError, match="on the event loop"):
        calling.result(10)


async def call_on_loop(target: Callee) -> None:
    target.call_blocking(CALL)


def test_a_call_to_a_loop_that_has_ended_is_refused() -> None:
    loop = asyncio.new_event_loop()
    loop.close()

    with pytest.raises(ChainsRuntimeError, match="this process is ending"):
        Callee("X", RPCOptions(), FakeTransport(json_reply(1)), loop).call_blocking(CALL)


def test_a_cancelled_call_from_another_loop_ends_the_work() -> None:
    ended = threading.Event()
    begun = threading.Event()

    async def answer(_call: Call) -> Reply:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async def run() -> None:
        target = Callee("X", RPCOptions(), FakeTransport(answer), asyncio.get_running_loop())

        async def elsewhere() -> None:
            task = asyncio.create_task(target.call(CALL))
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            await asyncio.wait([task])

        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert await asyncio.to_thread(ended.wait, 10)

    asyncio.run(run())


async def streamed(target: Callee, into: list[bytes] | None = None) -> list[bytes]:
    got = [] if into is None else into
    async with target.stream(CALL) as reply:
        async for item in target.items(reply):
            got.append(item)  # what came before an error counts, too
    return got


def test_a_stream_is_tried_again_until_it_begins() -> None:
    failed = Pieces([bytes(error_reply("KeyError", "k").body)], status=500)
    transport = FakeTransport(failed, error_for(EndCode.REPLICA_LOST), Pieces([b"a", b"", b"b"]))

    assert run_virtual(streamed(callee(transport, retries=3))) == [b"a", b"", b"b"]
    assert len(transport.calls) == 3
    assert transport.left == 2


def test_a_stream_that_fails_before_it_begins_raises_what_the_callee_raised() -> None:
    failed = Pieces([bytes(error_reply("KeyError", "k").body)], status=500)

    with pytest.raises(KeyError):
        run_virtual(streamed(callee(FakeTransport(failed))))
    with pytest.raises(GenericRemoteException, match="'text'"):
        run_virtual(streamed(callee(FakeTransport(Pieces([b'{"error": "text"}'], status=503)))))


def test_a_stream_is_not_tried_again_after_it_has_begun() -> None:
    transport = FakeTransport(Pieces([b"a", error_for(EndCode.REPLICA_LOST)]))

    with pytest.raises(PenstockError):
        run_virtual(streamed(callee(transport, retries=3)))

    assert len(transport.calls) == 1


def test_an_item_that_does_not_come_is_a_timeout() -> None:
    async def slow() -> None:
        await asyncio.sleep(0.4 if asyncio.get_running_loop().time() < 1 else 9)

    async def run() -> list[bytes]:
        target = callee(FakeTransport(Pieces([b"a", b"b", b"c", b"d"], before_piece=slow)), timeout_sec=0.5)
        got: list[bytes] = []
        with pytest.raises(TimeoutError, match="seconds limit"):
            await streamed(target, got)
        return got

    assert run_virtual(run()) == [b"a", b"b", b"c"]


def test_a_stream_on_another_loop_is_refused() -> None:
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(ChainsRuntimeError, match="on another event loop"):
            asyncio.run(streamed(Callee("X", RPCOptions(), FakeTransport(Pieces()), loop)))
    finally:
        loop.close()
