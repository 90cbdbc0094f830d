"""The loop on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from penstock.chains.remote.background_loop import background_loop, stop_background_loop


def test_it_runs_on_another_thread_until_it_is_stopped() -> None:
    async def thread_name() -> str:
        return threading.current_thread().name

    loop = background_loop()
    try:
        assert background_loop() is loop
        assert asyncio.run_coroutine_threadsafe(thread_name(), loop).result(10) == "penstock-chain-calls"
    finally:
        stop_background_loop()

    assert background_loop() is not loop
    stop_background_loop()


def test_stopping_closes_what_lives_on_it() -> None:
    closed = threading.Event()

    async def kept() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.set()

    items = kept()

    async def begin() -> None:
        await anext(items)

    asyncio.run_coroutine_threadsafe(begin(), background_loop()).result(10)

    stop_background_loop()

    assert closed.wait(10)


def test_stopping_nothing_does_nothing() -> None:
    stop_background_loop()
    stop_background_loop()
