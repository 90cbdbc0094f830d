"""What a call returns that answers item by item."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from penstock.chains.remote.item_stream import BEGUN, ItemStream


def counting(log: list[str], *, fails: bool = False) -> ItemStream[int]:
    async def items() -> AsyncGenerator[int, None]:
        try:
            log.append("sent")
            if fails:
                raise ValueError("bad")
            yield BEGUN
            for number in range(3):
                log.append("asked")
                yield number
        finally:
            log.append("left")

    return ItemStream(items())


def test_items_come_with_and_without_await() -> None:
    async def run() -> None:
        assert [item async for item in counting([])] == [0, 1, 2]
        assert [item async for item in await counting([])] == [0, 1, 2]

    asyncio.run(run())


def test_nothing_is_sent_before_it_is_used() -> None:
    async def run() -> None:
        log: list[str] = []
        stream = counting(log)
        assert log == []
        assert await stream is stream
        assert log == ["sent"]
        assert await anext(stream) == 0
        await stream.aclose()
        assert log == ["sent", "asked", "left"]

    asyncio.run(run())


def test_awaiting_twice_takes_no_item() -> None:
    async def run() -> None:
        stream = counting([])
        await stream
        await stream
        assert await anext(stream) == 0
        await stream.aclose()

    asyncio.run(run())


def test_awaiting_raises_what_went_wrong_before_the_response() -> None:
    async def run() -> None:
        with pytest.raises(ValueError, match="bad"):
            await counting([], fails=True)
        with pytest.raises(ValueError, match="bad"):
            await anext(counting([], fails=True))

    asyncio.run(run())


def test_dropping_it_leaves_the_stream() -> None:
    async def run() -> None:
        log: list[str] = []
        async for _ in counting(log):
            break
        for _ in range(10):
            await asyncio.sleep(0)
        assert log[-1] == "left"

    asyncio.run(run())
