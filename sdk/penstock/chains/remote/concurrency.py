"""How many calls of a stub are under way at once, and the line in which further ones wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from penstock.chains.remote.call_metrics import CallCounts
from penstock.close_codes import EndCode
from penstock.errors import error_for

WAITING_MAX = 10_000
"""Calls of one stub that may wait. A further one fails at once: nothing drains such a line in time."""

LOG_INTERVAL_S = 300.0

_WAITS_KEPT = 1000

_log = logging.getLogger("penstock.chains")


class ConcurrencyLimit:
    """The places of one stub, an asynchronous context manager; first come, first served. Belongs to one event loop.

    How long calls have waited is logged, at most every LOG_INTERVAL_S.
    """

    def __init__(
        self,
        places: int,
        chainlet_name: str,
        counts: CallCounts,
        *,
        log_interval_s: float = LOG_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: places: calls at once, at least 1. chainlet_name: display name of the callee, for the log."""
        self._places = max(1, places)
        self._name = chainlet_name
        self._counts = counts
        self._log_interval_s = log_interval_s
        self._clock = clock
        self._logged_at: float | None = None
        self._ongoing = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waits: deque[float] = deque(maxlen=_WAITS_KEPT)
        counts.add(self)

    @property
    def ongoing(self) -> int:
        """Calls under way."""
        return self._ongoing

    @property
    def queued(self) -> int:
        """Calls that wait."""
        return len(self._waiting)

    async def __aenter__(self) -> None:
        """Takes a place, as soon as there is one.

        Raises:
            CapacityError: WAITING_MAX calls wait already.
        """
        self._counts.total.inc()
        if self._ongoing < self._places:  # then nobody waits: a place that is left goes to the first who does
            self._ongoing += 1
            self._waited(0.0)
            return
        if len(self._waiting) >= WAITING_MAX:
            reason = f"{WAITING_MAX} calls to `{self._name}` wait already, with {self._ongoing} under way"
            raise error_for(EndCode.QUEUE_FULL, reason=reason)
        started = self._clock()
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()  # the place was given in the same turn of the loop
            elif place in self._waiting:
                self._waiting.remove(place)
            raise
        self._waited(self._clock() - started)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)  # the place goes from hand to hand, and stays counted
                return
        self._ongoing -= 1

    def _waited(self, seconds: float) -> None:
        self._waits.append(seconds)
        now = self._clock()
        if self._logged_at is None or now - self._logged_at >= self._log_interval_s:
            # Nothing is said of the first call: that it did not wait says nothing.
            if self._logged_at is not None or seconds > 0:
                self._report()
            self._logged_at = now

    def _report(self) -> None:
        waits = sorted(self._waits)
        waited = sum(1 for wait in waits if wait > 0)
        if not waited:
            _log.debug("No queueing of calls to `%s`.", self._name)
            return
        p50, p90 = (waits[int(share * (len(waits) - 1))] for share in (0.5, 0.9))
        _log.warning(
            f"Queueing calls to `{self._name}` Chainlet. Momentarily there are {self._ongoing} ongoing requests and "
            f"{len(self._waiting)} waiting requests.\nWait stats: p50={p50:.3f}s, p90={p90:.3f}s.\n"
            f"Of the last {len(waits)} requests, {waited} had to wait. That is fine where the callee could not take "
            f"more at once anyway. Otherwise spread the calls over time, give the callee more replicas, or raise "
            f"`concurrency_limit` (now {self._places}) of this dependency."
        )
