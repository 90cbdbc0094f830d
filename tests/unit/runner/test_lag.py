"""A blocked loop is noticed while it is blocked, from another thread."""

from __future__ import annotations

import asyncio
import threading

from penstock_runner.lag import INTERVAL_S, LoopLag


def test_blocked_loop_is_noticed_while_it_is_blocked() -> None:
    async def block() -> float:
        lag = LoopLag(asyncio.get_running_loop())
        lag.start()
        # Blocks the loop's thread, as a model does that computes in its handler.
        threading.Event().wait(INTERVAL_S + 0.3)
        seen: list[float] = []
        reader = threading.Thread(target=lambda: seen.append(lag.take()))
        reader.start()
        reader.join()
        lag.stop()
        return seen[0]

    assert asyncio.run(block()) >= 0.3


def test_block_between_two_reads_is_reported_once() -> None:
    async def block() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        lag = LoopLag(loop)
        lag.start()
        threading.Event().wait(INTERVAL_S + 0.3)
        ticked = asyncio.Event()
        loop.call_later(2 * INTERVAL_S, ticked.set)
        await ticked.wait()
        first, second = lag.take(), lag.take()
        lag.stop()
        return first, second

    first, second = asyncio.run(block())

    assert first >= 0.3
    assert second < first


def test_stopped_lag_is_zero() -> None:
    async def measure() -> float:
        lag = LoopLag(asyncio.get_running_loop())
        lag.start()
        lag.stop()
        return lag.take()

    assert asyncio.run(measure()) == 0.0
