"""An event loop whose clock jumps to the next timer: an hour of timeouts passes in milliseconds.

For code that waits on timers, queues, futures and events only. While a file descriptor is ready the clock stands still,
but it does not wait for one: code that talks to another thread or process needs the real loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from math import nextafter
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

STALL_S = 1.0
"""Real seconds that a loop without any timer waits for a thread before it counts as stalled."""


class StalledError(RuntimeError):
    """Everything waits for something that no timer and no callback will bring about."""


class _JumpingSelector(selectors.SelectSelector):
    """Polls the descriptors, and moves the clock where a real selector would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is not None:
            self.now += timeout
            return ready
        ready = super().select(STALL_S)
        if not ready:
            raise StalledError("nothing is left to run: every task waits, and there is no timer")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and moves by jumps only. Timers of equal time run in the order of their creation."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        # Times in use, so that each timer gets one of its own: the heap of asyncio does not keep the order of equals.
        self._times: set[float] = set()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self._times = {time for time in self._times if time > self.time()}
        while when in self._times:
            when = nextafter(when, float("inf"))
        self._times.add(when)
        return super().call_at(when, callback, *args, context=context)


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end in virtual time, as asyncio.run does in real time.

    Raises:
        StalledError: nothing is left that could bring `main` to its end.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
