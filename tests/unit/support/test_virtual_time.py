from __future__ import annotations

import asyncio
import time

import pytest

from penstock_testing.virtual_time import StalledError, VirtualTimeLoop, run_virtual


def test_an_hour_passes_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert run_virtual(main()) == pytest.approx(3600)
    assert time.monotonic() - started < 5


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []

        async def note(name: str, after: float) -> None:
            await asyncio.sleep(after)
            seen.append((name, loop.time()))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(note("late", 60))
            tasks.create_task(note("early", 0.02))
            tasks.create_task(note("middle", 1))
        return seen

    assert [name for name, _ in run_virtual(main())] == ["early", "middle", "late"]


def test_timers_of_equal_time_fire_in_the_order_of_their_creation() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen: list[int] = []
        for number in range(100):
            loop.call_at(5.0, seen.append, number)
        await asyncio.sleep(6)
        return seen

    assert run_virtual(main()) == list(range(100))


def test_a_timeout_ends_a_wait_that_nothing_else_ends() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(30)


def test_the_clock_stands_still_while_callbacks_run() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0.0


def test_a_wait_without_any_timer_is_reported_instead_of_hanging() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    loop = VirtualTimeLoop()
    task = loop.create_task(main())
    try:
        with pytest.raises(StalledError, match="nothing is left to run"):
            loop.run_until_complete(task)
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()
