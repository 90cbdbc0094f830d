from __future__ import annotations

import asyncio
import os
import signal

from penstock.cli.up.caught_signals import caught_signals


def test_the_first_signal_stops_and_the_next_forces() -> None:
    async def test() -> None:
        stop, force = asyncio.Event(), asyncio.Event()
        with caught_signals(stop, force):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), 10)
            assert not force.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(force.wait(), 10)

    before = signal.getsignal(signal.SIGTERM)
    asyncio.run(test())
    assert signal.getsignal(signal.SIGTERM) == before
