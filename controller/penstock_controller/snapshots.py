"""Publishes what edges route by: on change, but not more often than every 50 ms, and at least every heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.api.control.v1 import control_pb2
from penstock_controller.bell import Bell
from penstock_controller.conversion import snapshot_to_wire
from penstock_controller.registry import HEARTBEAT_S, Registry

INTERVAL_MIN_S = 0.05
"""Least time between two snapshots: a burst of streams becomes one."""


class SnapshotPublisher:
    """Builds each snapshot once, for all edges."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._dirty = asyncio.Event()
        self.published = Bell()
        """Rings after each new `latest`."""
        self.latest = self._build()
        self.count = 1
        """Snapshots so far; tells a watcher whether it has sent `latest`."""

    def changed(self) -> None:
        """What edges route by has changed."""
        self._dirty.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S - INTERVAL_MIN_S):
                    await self._dirty.wait()
            except TimeoutError:
                pass
            self._dirty.clear()
            self.latest = self._build()
            self.count += 1
            self.published.ring()
            await asyncio.sleep(INTERVAL_MIN_S)

    def _build(self) -> control_pb2.WatchResponse:
        return control_pb2.WatchResponse(snapshot=snapshot_to_wire(self._registry.route_table(self._clock())))
