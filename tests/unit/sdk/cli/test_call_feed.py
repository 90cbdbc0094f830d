from __future__ import annotations

import asyncio
import threading

from penstock.cli.call.feed import Feed


def test_items_come_in_order_and_putting_waits_for_room() -> None:
    async def main() -> list[int]:
        feed: Feed[int] = Feed(2)
        put: list[int] = []

        def read() -> None:
            for number in range(5):
                feed.put(number)
                put.append(number)

        thread = threading.Thread(target=read)
        thread.start()
        first = await feed.get()
        assert len(put) <= 3
        rest = [await feed.get() for _ in range(4)]
        thread.join()
        return [first, *rest]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_a_thread_that_waits_goes_on_when_nobody_takes_any_more() -> None:
    answers: list[bool] = []

    async def main() -> threading.Thread:
        feed: Feed[int] = Feed(1)
        assert feed.put(1)
        thread = threading.Thread(target=lambda: answers.append(feed.put(2)))
        thread.start()
        feed.close()
        return thread

    asyncio.run(main()).join(10)
    assert answers == [False]


def test_a_loop_that_has_ended_takes_nothing() -> None:
    async def main() -> Feed[int]:
        return Feed(2)

    assert not asyncio.run(main()).put(1)
