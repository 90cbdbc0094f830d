"""Threads for synchronous code of models."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from penstock_runner.predict.threads import PREDICT_THREADS_MAX, SPARE_THREADS, ThreadPool, threads_for

LIMIT_S = 10.0
COLOR: ContextVar[str] = ContextVar("COLOR")


def test_a_function_runs_in_a_daemon_thread() -> None:
    async def main() -> threading.Thread:
        return await ThreadPool(1).submit(threading.current_thread)

    thread = asyncio.run(main())

    assert thread is not threading.main_thread()
    assert thread.daemon


def test_what_a_function_raises_is_raised_here() -> None:
    async def main() -> None:
        await ThreadPool(1).submit(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        asyncio.run(main())


def test_stop_iteration_becomes_an_error_that_can_pass_through_a_coroutine() -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT_S):
            await ThreadPool(1).submit(next, iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(main())


def test_system_exit_of_a_function_ends_neither_the_thread_nor_the_loop() -> None:
    async def main() -> int:
        pool = ThreadPool(1)
        with pytest.raises(SystemExit):
            await pool.submit(exit_now)
        return await pool.submit(int, "7")

    def exit_now() -> None:
        raise SystemExit(3)

    assert asyncio.run(main()) == 7


def test_a_function_sees_the_context_of_its_caller() -> None:
    async def main() -> str:
        COLOR.set("red")
        return await ThreadPool(1).submit(COLOR.get)

    assert asyncio.run(main()) == "red"


def test_threads_are_started_only_as_they_are_needed() -> None:
    async def main() -> list[int]:
        pool = ThreadPool(3)
        counts = [pool.threads]
        for _ in range(5):
            await pool.submit(int)
        counts.append(pool.threads)
        barrier = threading.Barrier(3)
        await asyncio.gather(*(pool.submit(barrier.wait, LIMIT_S) for _ in range(3)))
        counts.append(pool.threads)
        return counts

    assert asyncio.run(main()) == [0, 1, 3]


def test_beyond_the_limit_functions_wait_in_order() -> None:
    async def main() -> list[int]:
        pool = ThreadPool(1)
        gate = threading.Event()
        order: list[int] = []
        calls: list[asyncio.Future[Any]] = [pool.submit(gate.wait, LIMIT_S)]
        calls += [pool.submit(order.append, number) for number in range(5)]
        assert pool.threads == 1
        gate.set()
        await asyncio.gather(*calls)
        return order

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_a_cancellation_takes_effect_when_the_thread_is_done() -> None:
    """Until then the thread may work with the GPU, and whoever waits must keep what it holds."""

    async def main() -> None:
        pool = ThreadPool(1)
        gate = threading.Event()
        ended = threading.Event()

        def work() -> None:
            gate.wait(LIMIT_S)
            ended.set()

        async def call() -> None:
            await pool.submit(work)

        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()

        gate.set()
        await asyncio.wait([task], timeout=LIMIT_S)

        assert ended.is_set()
        assert task.cancelled()

    asyncio.run(main())


def test_an_idle_thread_keeps_nothing_of_its_last_call_alive() -> None:
    class Weights:
        pass

    async def main() -> None:
        pool = ThreadPool(1)
        weights = Weights()
        gone = threading.Event()
        weakref.finalize(weights, gone.set)
        await pool.submit(id, weights)

        del weights

        assert await asyncio.to_thread(gone.wait, LIMIT_S)

    asyncio.run(main())


def test_a_call_with_a_permit_never_waits_for_a_thread() -> None:
    assert threads_for(1) == 1 + SPARE_THREADS
    assert threads_for(1_000_000) == PREDICT_THREADS_MAX + SPARE_THREADS
