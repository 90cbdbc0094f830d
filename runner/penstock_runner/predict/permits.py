"""Permits to run `predict`: at most `runtime.predict_concurrency` calls at one time (truss.md section 2.2)."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Permit:
    """The right to run `predict` once. It goes back with `release`, of which only the first call counts."""

    __slots__ = ("_permits",)

    def __init__(self, permits: Permits) -> None:
        self._permits: Permits | None = permits

    def release(self) -> None:
        """Gives the permit to the call that has waited longest."""
        permits, self._permits = self._permits, None
        if permits is not None:
            permits.put_back()


class Permits:
    """All permits of one replica. Calls wait in the order in which they came.

    A waiting call holds a slot of the replica, so the slots bound how many can wait; the client's or the edge's time
    limit bounds for how long.
    """

    __slots__ = ("_free", "_waiters")

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Calls that wait for a permit."""
        return len(self._waiters)

    async def acquire(self) -> Permit:
        """Returns a permit; does not suspend when one is free. A cancellation while waiting costs no permit."""
        if self._free > 0:
            self._free -= 1
            return Permit(self)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):  # `put_back` has passed over it before this task ran
                    self._waiters.remove(waiter)
            else:
                # The permit was handed over in the same moment.
                self.put_back()
            raise
        return Permit(self)

    def put_back(self) -> None:
        """Hands a permit to the first call that waits, or keeps it. Holders call `Permit.release` instead."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
