"""The measuring loop of a caller: the same code drives the stubs of a chain and an httpx client."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def measure(call: Callable[[], Awaitable[None]], in_flight: int, seconds: float, warm_s: float) -> dict:
    """Makes calls one after another from `in_flight` loops. Returns the number per second and their latencies in ms."""
    took: list[float] = []
    begin = time.perf_counter() + warm_s
    end = begin + seconds

    async def loop() -> None:
        while True:
            started = time.perf_counter()
            if started >= end:
                return
            await call()
            finished = time.perf_counter()
            if started >= begin and finished <= end:
                took.append(finished - started)

    await asyncio.gather(*(loop() for _ in range(in_flight)))
    took.sort()
    if not took:
        return {"per_s": 0.0, "p50_ms": 0.0, "p99_ms": 0.0, "calls": 0}
    return {
        "per_s": len(took) / seconds,
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[min(len(took) - 1, int(len(took) * 0.99))] * 1e3,
        "calls": len(took),
    }
