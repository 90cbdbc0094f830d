"""Streams of what a model yields (truss.md section 2.2 and section 10, 7)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from penstock_runner.predict.permits import Permits
from penstock_runner.predict.streaming import (
    ITEM_OVERHEAD_BYTES,
    LEFTOVERS_MAX,
    ItemBuffer,
    ResponseCutError,
    Streamer,
    StreamReadTimeoutError,
    is_stream,
)
from penstock_runner.predict.threads import ThreadPool
from penstock_testing.asgi_call import AsgiCall
from penstock_testing.client_side import pass_time
from penstock_testing.virtual_time import run_virtual

LIMIT_S = 10.0
COLOR: ContextVar[str] = ContextVar("COLOR")


def make_streamer(failures: list[BaseException] | None = None, read_timeout_s: float = 60.0) -> Streamer:
    told: list[BaseException] = [] if failures is None else failures
    return Streamer(ThreadPool(4), read_timeout_s, told.append)


async def numbers(count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield str(number)


def sync_numbers(count: int) -> Iterator[str]:
    for number in range(count):
        yield str(number)


def test_each_item_is_one_part_of_the_body() -> None:
    async def main() -> None:
        call = AsgiCall()

        await make_streamer().send(numbers(3), None, call.send)

        assert call.answer.status == 200
        assert call.answer.headers == {"content-type": "application/octet-stream"}
        assert call.answer.parts == [b"0", b"1", b"2"]
        assert call.answer.is_complete

    run_virtual(main())


def test_items_may_be_text_bytes_or_json_and_empty() -> None:
    async def mixed() -> AsyncIterator[Any]:
        for item in ("é", b"\xff", {"a": 1}, "", 7):
            yield item

    async def main() -> list[bytes]:
        call = AsgiCall()
        await make_streamer().send(mixed(), None, call.send)
        return call.answer.parts

    assert run_virtual(main()) == ["é".encode(), b"\xff", b'{"a": 1}', b"", b"7"]


def test_each_step_of_a_synchronous_generator_runs_in_a_thread_and_in_one_context() -> None:
    seen: list[tuple[bool, str]] = []

    def generate() -> Iterator[str]:
        for color in ("red", "green"):
            seen.append((threading.current_thread() is threading.main_thread(), COLOR.get()))
            COLOR.set(color)
            yield color

    async def main() -> list[bytes]:
        COLOR.set("white")
        call = AsgiCall()
        await make_streamer().send(generate(), None, call.send)
        return call.answer.parts

    assert asyncio.run(main()) == [b"red", b"green"]
    assert seen == [(False, "white"), (False, "red")]


def test_a_slow_client_does_not_hold_the_permit() -> None:
    async def main() -> None:
        permits = Permits(1)
        call = AsgiCall()
        call.may_send.clear()
        sending = asyncio.create_task(make_streamer().send(numbers(100), await permits.acquire(), call.send))

        async with asyncio.timeout(LIMIT_S):
            await permits.acquire()

        assert not sending.done()
        call.may_send.set()
        await sending
        assert len(call.answer.parts) == 100

    run_virtual(main())


def test_the_permit_is_held_until_everything_is_generated() -> None:
    async def main() -> None:
        permits = Permits(1)
        call = AsgiCall()
        may_end = asyncio.Event()

        async def generate() -> AsyncIterator[str]:
            yield "first"
            await may_end.wait()

        sending = asyncio.create_task(make_streamer().send(generate(), await permits.acquire(), call.send))
        assert await call.got.get() == b"first"
        waiting = asyncio.create_task(permits.acquire())
        await pass_time(1)
        assert not waiting.done()

        may_end.set()

        await waiting
        await sending

    run_virtual(main())


def test_a_generator_that_never_suspends_is_sent_as_it_goes() -> None:
    """A model that computes in its async generator would otherwise send nothing before the end."""
    sent_before: list[int] = []

    async def main() -> None:
        call = AsgiCall()

        async def generate() -> AsyncIterator[str]:
            for number in range(5):
                sent_before.append(len(call.answer.parts))
                yield str(number)

        await make_streamer().send(generate(), None, call.send)

    run_virtual(main())
    assert sent_before[-1] >= 3


def test_a_full_buffer_holds_the_generator_up() -> None:
    async def main() -> None:
        buffer = ItemBuffer(3 * (10 + ITEM_OVERHEAD_BYTES))
        count = 0

        async def produce() -> None:
            nonlocal count
            for _ in range(10):
                await buffer.put(b"x" * 10)
                count += 1
            buffer.end()

        producer = asyncio.create_task(produce())
        await pass_time(1)
        assert count == 3

        assert await buffer.get(1) == b"x" * 10
        await pass_time(1)
        assert count == 4
        while await buffer.get(1) is not None:
            pass
        assert producer.done()

    run_virtual(main())


def test_a_buffer_that_nobody_reads_keeps_nothing() -> None:
    async def main() -> None:
        buffer = ItemBuffer(10)
        buffer.drop()
        async with asyncio.timeout(1):
            for _ in range(10):
                await buffer.put(b"x" * 10)
        buffer.end()

        assert await buffer.get(1) is None

    run_virtual(main())


def test_an_exception_in_a_generator_ends_the_stream_cleanly() -> None:
    failures: list[BaseException] = []

    async def generate() -> AsyncIterator[str]:
        yield "first"
        raise ValueError("no more")

    async def main() -> AsgiCall:
        call = AsgiCall()
        await make_streamer(failures).send(generate(), None, call.send)
        return call

    call = run_virtual(main())
    assert (call.answer.parts, call.answer.is_complete) == ([b"first"], True)
    assert [str(failure) for failure in failures] == ["no more"]


def exits() -> Iterator[str]:
    yield "first"
    raise SystemExit(3)


async def awaits_what_was_cancelled() -> AsyncIterator[str]:
    yield "first"
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def yields_what_has_no_form() -> AsyncIterator[Any]:
    yield "first"
    yield object()


@pytest.mark.parametrize(
    ("generate", "failure"),
    [
        (exits, SystemExit),
        (awaits_what_was_cancelled, asyncio.CancelledError),
        (yields_what_has_no_form, TypeError),
    ],
)
def test_other_failures_of_a_generator_end_the_stream_too(generate: Any, failure: type) -> None:
    failures: list[BaseException] = []

    async def main() -> AsgiCall:
        call = AsgiCall()
        await make_streamer(failures).send(generate(), None, call.send)
        return call

    call = asyncio.run(main())
    assert (call.answer.parts, call.answer.is_complete) == ([b"first"], True)
    assert [type(failure) for failure in failures] == [failure]


def test_a_model_that_yields_nothing_for_too_long_is_cut_off() -> None:
    async def main() -> None:
        streamer = make_streamer(read_timeout_s=60)
        permits = Permits(1)
        call = AsgiCall()
        may_end = asyncio.Event()

        async def generate() -> AsyncIterator[str]:
            yield "first"
            await pass_time(59)
            yield "second"
            await may_end.wait()
            yield "third"

        with pytest.raises(StreamReadTimeoutError, match="60 s"):
            await streamer.send(generate(), await permits.acquire(), call.send)

        assert asyncio.get_running_loop().time() == pytest.approx(119)
        assert (call.answer.parts, call.answer.is_complete) == ([b"first", b"second"], False)
        # The generator goes on, and keeps its permit.
        waiting = asyncio.create_task(permits.acquire())
        await pass_time(1)
        assert (streamer.leftovers, waiting.done()) == (1, False)
        may_end.set()
        await waiting
        assert streamer.leftovers == 0

    run_virtual(main())


@pytest.mark.parametrize("items_before", [1, 3])
def test_a_generator_that_was_cut_off_runs_to_its_end_with_nobody_reading(items_before: int) -> None:
    async def main() -> None:
        told: list[BaseException] = []
        streamer = Streamer(ThreadPool(1), 5, told.append, buffer_bytes_max=1000)
        ended = asyncio.Event()

        async def generate() -> AsyncIterator[str]:
            for _ in range(items_before):
                yield "x" * 400
            await pass_time(10)
            for _ in range(100):
                yield "x" * 400
            ended.set()

        with pytest.raises(StreamReadTimeoutError):
            await streamer.send(generate(), None, AsgiCall().send)
        async with asyncio.timeout(10):
            await ended.wait()

    run_virtual(main())


def test_too_many_generators_that_were_cut_off_are_cancelled() -> None:
    async def main() -> None:
        streamer = make_streamer(read_timeout_s=1)

        async def hang() -> AsyncIterator[str]:
            yield "first"
            await asyncio.Event().wait()

        calls = [streamer.send(hang(), None, AsgiCall().send) for _ in range(LEFTOVERS_MAX + 5)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        await pass_time(1)

        assert all(isinstance(end, ResponseCutError) for end in ends)
        assert streamer.leftovers == LEFTOVERS_MAX

    run_virtual(main())


def test_a_generator_goes_on_after_its_client_has_left() -> None:
    """Truss does not cancel by itself; the call ends with the generator, so the replica counts as busy."""

    async def main() -> None:
        call = AsgiCall()
        count = 0

        async def generate() -> AsyncIterator[str]:
            nonlocal count
            for _ in range(1000):
                count += 1
                yield "x" * 1_000_000
                await pass_time(1)

        asyncio.get_running_loop().call_later(5.5, call.leave)
        with pytest.raises(OSError, match="has left"):
            await make_streamer().send(generate(), None, call.send)

        assert count == 1000
        assert len(call.answer.parts) == 6

    run_virtual(main())


def test_a_generator_that_hangs_after_its_client_has_left_frees_the_slot() -> None:
    async def main() -> None:
        call = AsgiCall()
        streamer = make_streamer(read_timeout_s=60)

        async def generate() -> AsyncIterator[str]:
            call.leave()
            yield "first"
            await asyncio.Event().wait()

        with pytest.raises(StreamReadTimeoutError):
            await streamer.send(generate(), None, call.send)
        assert streamer.leftovers == 1

    run_virtual(main())


def test_a_cancelled_call_ends_its_generator_before_it_ends_itself() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        call = AsgiCall()
        permits = Permits(1)

        async def generate() -> AsyncIterator[str]:
            try:
                while True:
                    yield "item"
                    await pass_time(1)
            finally:
                await pass_time(2)
                order.append("cleaned up")

        task = asyncio.create_task(make_streamer().send(generate(), await permits.acquire(), call.send))
        await call.got.get()
        task.cancel()
        await asyncio.wait([task])
        order.append("ended")
        assert task.cancelled()
        await permits.acquire()
        return order

    assert run_virtual(main()) == ["cleaned up", "ended"]


def test_a_cancelled_call_closes_a_synchronous_generator_after_its_current_step() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        call = AsgiCall()
        gate = threading.Event()

        def generate() -> Iterator[str]:
            try:
                yield "first"
                gate.wait(LIMIT_S)
                order.append("step done")
                yield "second"
                order.append("not reached")
            finally:
                order.append("cleaned up")

        task = asyncio.create_task(make_streamer().send(generate(), None, call.send))
        await call.got.get()
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        await asyncio.wait([task], timeout=LIMIT_S)
        assert task.cancelled()
        return order

    assert asyncio.run(main()) == ["step done", "cleaned up"]


def test_a_failing_cleanup_is_told() -> None:
    failures: list[BaseException] = []

    async def generate() -> AsyncIterator[Any]:
        try:
            yield object()
        finally:
            raise ValueError("cleanup failed")

    async def main() -> None:
        await make_streamer(failures).send(generate(), None, AsgiCall().send)

    run_virtual(main())
    assert [type(failure) for failure in failures] == [TypeError, ValueError]


@pytest.mark.parametrize("generate", [numbers, sync_numbers])
def test_gathered_items_are_one_text(generate: Any) -> None:
    async def main() -> str:
        return await make_streamer().gather(generate(5))

    assert asyncio.run(main()) == "01234"


def test_gathered_bytes_are_decoded_once() -> None:
    async def halves() -> AsyncIterator[bytes]:
        for byte in "é".encode():
            yield bytes([byte])

    async def main() -> str:
        return await make_streamer().gather(halves())

    assert run_virtual(main()) == "é"


def test_what_a_gathered_generator_raises_is_raised() -> None:
    async def fail() -> AsyncIterator[str]:
        yield "first"
        raise ValueError("no more")

    async def main() -> None:
        await make_streamer().gather(fail())

    with pytest.raises(ValueError, match="no more"):
        run_virtual(main())


def test_generators_of_both_kinds_are_streams() -> None:
    generator = numbers(0)
    assert is_stream(generator)
    assert is_stream(sync_numbers(0))
    assert not any(map(is_stream, ("text", b"bytes", [1], {"a": 1}, None, iter(()))))
