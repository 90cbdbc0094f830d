"""Whether the client is still there (truss.md section 2.5)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from penstock_runner.predict.disconnect import CancelledWhenGone, ClientPresence, DisconnectSignal, PredictRequest
from penstock_runner.predict.failures import ClientGone
from penstock_testing.asgi_call import AsgiCall
from penstock_testing.client_side import pass_time
from penstock_testing.virtual_time import run_virtual

LIMIT_S = 10.0


def request_of(call: AsgiCall) -> PredictRequest:
    return PredictRequest(call.scope, ClientPresence(call.scope, call.receive), call.send)


@pytest.mark.parametrize("tells", [True, False])
def test_is_disconnected_follows_the_client(tells: bool) -> None:
    async def main() -> None:
        call = AsgiCall(body=b"abc", tells=tells)
        request = request_of(call)
        assert await request.body() == b"abc"
        assert not await request.is_disconnected()

        call.leave()

        assert await request.is_disconnected()
        request.presence.close()

    run_virtual(main())


@pytest.mark.parametrize("tells", [True, False])
def test_a_model_that_does_nothing_but_ask_hears_of_the_disconnect(tells: bool) -> None:
    async def main() -> None:
        call = AsgiCall(tells=tells)
        request = request_of(call)
        await request.body()
        asyncio.get_running_loop().call_later(0, call.leave)

        async with asyncio.timeout(LIMIT_S):
            while not await request.is_disconnected():
                pass
        request.presence.close()

    asyncio.run(main())


def test_asking_loses_no_part_of_the_body() -> None:
    async def main() -> bytes:
        request = request_of(AsgiCall(body=[b"one ", b"two ", b"three"], tells=False))
        body = b""
        async for part in request.stream():
            body += part
            assert not await request.is_disconnected()
        request.presence.close()
        return body

    assert run_virtual(main()) == b"one two three"


def test_a_disconnect_while_the_body_is_read_is_noticed() -> None:
    async def main() -> bool:
        call = AsgiCall(body=[], tells=False)
        call.leave()
        request = request_of(call)
        assert (await request.receive())["type"] == "http.disconnect"
        return await request.presence.is_gone()

    assert run_virtual(main())


@pytest.mark.parametrize("tells", [True, False])
def test_a_watch_sets_its_event_when_the_client_leaves(tells: bool) -> None:
    async def main() -> None:
        call = AsgiCall(tells=tells)
        request = request_of(call)
        await request.body()

        with request.state.watch_disconnect() as event:
            assert isinstance(event, threading.Event)
            await asyncio.sleep(0)
            assert not event.is_set()
            call.leave()
            for _ in range(5):
                await asyncio.sleep(0)
            assert event.is_set()
        request.presence.close()

    run_virtual(main())


@pytest.mark.parametrize("tells", [True, False])
def test_a_thread_may_watch(tells: bool) -> None:
    async def main() -> bool:
        call = AsgiCall(tells=tells)
        request = request_of(call)
        await request.body()
        watching = threading.Event()

        def work() -> bool:
            with request.state.watch_disconnect() as event:
                watching.set()
                return bool(event.wait(LIMIT_S))

        async with asyncio.TaskGroup() as group:
            worker = group.create_task(asyncio.to_thread(work))
            assert await asyncio.to_thread(watching.wait, LIMIT_S)
            call.leave()
        request.presence.close()
        return worker.result()

    assert asyncio.run(main())


def test_a_watch_of_a_client_that_is_gone_is_set_at_once() -> None:
    async def main() -> bool:
        call = AsgiCall()
        call.leave()
        with request_of(call).state.watch_disconnect() as event:
            return bool(event.is_set())

    assert run_virtual(main())


def test_a_watch_that_was_left_stays_as_it_is() -> None:
    async def main() -> bool:
        call = AsgiCall()
        with request_of(call).state.watch_disconnect() as event:
            pass
        call.leave()
        return bool(event.is_set())

    assert not run_virtual(main())


def test_a_signal_calls_back_once() -> None:
    calls: list[str] = []
    signal = DisconnectSignal()
    early, removed = (lambda: calls.append("early")), (lambda: calls.append("removed"))
    signal.add_callback(early)
    signal.add_callback(removed)
    signal.remove_callback(removed)

    signal.set()
    signal.set()
    signal.add_callback(lambda: calls.append("late"))

    assert calls == ["early", "late"]


def test_closing_ends_the_watcher() -> None:
    async def main() -> int:
        request = request_of(AsgiCall(tells=False))
        await request.body()
        await request.is_disconnected()
        assert len(asyncio.all_tasks()) == 2

        request.presence.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert run_virtual(main()) == 1


def test_work_is_cancelled_when_the_client_leaves() -> None:
    async def main() -> None:
        call = AsgiCall()
        asyncio.get_running_loop().call_later(5, call.leave)

        with pytest.raises(ClientGone), CancelledWhenGone(request_of(call).presence):
            await pass_time(60)

        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    run_virtual(main())


def test_work_is_not_begun_when_the_client_is_gone() -> None:
    async def main() -> None:
        call = AsgiCall()
        call.leave()

        with pytest.raises(ClientGone), CancelledWhenGone(request_of(call).presence):
            raise AssertionError("not reached")
        await asyncio.sleep(0)

    run_virtual(main())


def test_a_cancellation_by_somebody_else_stays_one() -> None:
    async def main() -> None:
        call = AsgiCall()

        async def work() -> None:
            with CancelledWhenGone(request_of(call).presence):
                await pass_time(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        call.leave()
        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()

    run_virtual(main())


def test_a_disconnect_after_the_work_cancels_nothing() -> None:
    async def main() -> None:
        call = AsgiCall()
        with CancelledWhenGone(request_of(call).presence):
            await asyncio.sleep(0)

        call.leave()

        await asyncio.sleep(0)

    run_virtual(main())
