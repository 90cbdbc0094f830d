from __future__ import annotations

import asyncio

from penstock_controller.bell import Bell


def test_every_waiter_hears_the_bell_and_none_an_earlier_ring() -> None:
    async def scenario() -> None:
        bell = Bell()
        bell.ring()
        waiters = [asyncio.create_task(bell.wait(10)) for _ in range(3)]
        await asyncio.sleep(0)
        bell.ring()

        assert await asyncio.gather(*waiters) == [True, True, True]
        assert not await bell.wait(0)

    asyncio.run(scenario())
