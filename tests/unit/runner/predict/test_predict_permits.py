"""Permits of `predict` (truss.md section 2.2)."""

from __future__ import annotations

import asyncio

from penstock_runner.predict.permits import Permit, Permits
from penstock_testing.virtual_time import run_virtual


def test_as_many_calls_as_there_are_permits() -> None:
    async def main() -> None:
        permits = Permits(2)
        first = await permits.acquire()
        await permits.acquire()
        third = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)
        assert (permits.waiting, third.done()) == (1, False)

        first.release()

        await third
        assert permits.waiting == 0

    run_virtual(main())


def test_calls_get_permits_in_the_order_in_which_they_came() -> None:
    async def main() -> list[int]:
        permits = Permits(1)
        order: list[int] = []

        async def call(number: int) -> None:
            permit = await permits.acquire()
            order.append(number)
            await asyncio.sleep(0)
            permit.release()

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(call(number))
        return order

    assert run_virtual(main()) == [0, 1, 2, 3, 4]


def test_a_permit_that_is_released_twice_counts_once() -> None:
    async def main() -> None:
        permits = Permits(1)
        permit = await permits.acquire()

        permit.release()
        permit.release()

        await permits.acquire()
        second = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)
        assert not second.done()
        second.cancel()

    run_virtual(main())


def test_a_call_that_is_cancelled_while_waiting_leaves_the_queue() -> None:
    async def main() -> None:
        permits = Permits(1)
        held = await permits.acquire()
        waiting = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)

        waiting.cancel()
        await asyncio.wait([waiting])

        assert (waiting.cancelled(), permits.waiting) == (True, 0)
        held.release()
        assert isinstance(await permits.acquire(), Permit)

    run_virtual(main())


def test_a_permit_that_comes_together_with_a_cancellation_is_not_lost() -> None:
    async def main() -> None:
        permits = Permits(1)
        held = await permits.acquire()
        waiting = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)

        held.release()
        waiting.cancel()
        await asyncio.wait([waiting])

        assert waiting.cancelled()
        async with asyncio.timeout(1):
            await permits.acquire()

    run_virtual(main())


def test_a_permit_that_comes_behind_a_cancellation_goes_to_the_next() -> None:
    async def main() -> None:
        permits = Permits(1)
        held = await permits.acquire()
        first = asyncio.create_task(permits.acquire())
        second = asyncio.create_task(permits.acquire())
        await asyncio.sleep(0)
        first.cancel()
        held.release()  # before the first one has run: it still stands in the queue

        assert isinstance(await second, Permit)
        await asyncio.wait([first])
        assert first.cancelled()
        assert permits.waiting == 0

    run_virtual(main())
