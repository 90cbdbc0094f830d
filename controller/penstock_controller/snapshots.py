"""Publishes what edges route by: on change, but not more often than every 50 ms, and at least every heartbeat."""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Callable

from penstock.api.control.v1 import control_pb2
from penstock_controller.conversion import snapshot_to_wire
from penstock_controller.registry import HEARTBEAT_S, Registry

INTERVAL_MIN_S = 0.05
"""Least time between two snapshots: a burst of streams becomes one."""

BUSY_SHARE = 10
"""A snapshot is followed by a pause of at least so many times what the last ones took to build. The median counts: a
collection of garbage that falls into one is no measure."""

BUILDS_KEPT = 7

INTERVAL_MAX_S = 0.5
"""Longest such pause, however large the fleet is."""


class SnapshotPublisher:
    """Builds each snapshot once, for all edges."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._dirty = asyncio.Event()
        self.listeners: set[asyncio.Event] = set()
        """Set after each new `latest`."""
        self.latest = self._build()
        """A serialized WatchResponse: made once, sent to every edge."""
        self.built_at = clock()
        self._took_s: deque[float] = deque(maxlen=BUILDS_KEPT)
        self.count = 1
        """Snapshots so far; tells a watcher whether it has sent `latest`."""

    def changed(self) -> None:
        """What edges route by has changed."""
        self._dirty.set()

    async def run(self) -> None:
        pause_s = INTERVAL_MIN_S
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S - pause_s):
                    await self._dirty.wait()
            except TimeoutError:
                pass
            self._dirty.clear()
            self.built_at = self._clock()
            self.latest = self._build()
            self._took_s.append(self._clock() - self.built_at)
            wanted_s = statistics.median(self._took_s) * BUSY_SHARE
            pause_s = max(INTERVAL_MIN_S, min(INTERVAL_MAX_S, wanted_s))
            self.count += 1
            for listener in self.listeners:
                listener.set()
            await asyncio.sleep(pause_s)

    def _build(self) -> bytes:
        table = self._registry.route_table(self._clock())
        return control_pb2.WatchResponse(snapshot=snapshot_to_wire(table)).SerializeToString()
