from __future__ import annotations

import asyncio
from itertools import pairwise

from penstock.api.control.v1 import control_pb2
from penstock_controller.registry import HEARTBEAT_S, Registry
from penstock_controller.snapshots import INTERVAL_MIN_S, SnapshotPublisher
from penstock_controller.tasks import TaskSet
from penstock_testing.controller_parts import deployment
from penstock_testing.virtual_time import run_virtual


def published_at(changes_at: list[float], until: float) -> list[float]:
    """Returns when snapshots went out while the registry changed at the given times."""

    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        registry = Registry(epoch=1, now=0.0)
        publisher = SnapshotPublisher(registry, loop.time)
        times: list[float] = []

        async def note() -> None:
            published = asyncio.Event()
            publisher.listeners.add(published)
            while True:
                await published.wait()
                published.clear()
                times.append(round(loop.time(), 3))

        tasks = TaskSet()
        tasks.start(note(), name="note")
        tasks.start(publisher.run(), name="publish")
        for at in changes_at:
            loop.call_at(at, publisher.changed)
        over = asyncio.Event()
        loop.call_at(until, over.set)
        await over.wait()
        await tasks.cancel()
        return times

    return run_virtual(scenario())


def test_change_goes_out_at_once() -> None:
    assert published_at([0.5], 0.6) == [0.5]


def test_burst_becomes_one_snapshot_per_interval() -> None:
    times = published_at([0.5 + i / 1000 for i in range(100)], 0.7)

    assert len(times) <= 4
    assert all(b - a >= INTERVAL_MIN_S - 0.001 for a, b in pairwise(times))


def test_heartbeat_without_any_change() -> None:
    times = published_at([], 10.0)

    assert len(times) >= 4
    assert all(b - a <= HEARTBEAT_S for a, b in pairwise(times))


def test_latest_is_there_before_the_first_change() -> None:
    registry = Registry(epoch=5, now=0.0)
    registry.set_deployments([deployment()])

    snapshot = control_pb2.WatchResponse.FromString(SnapshotPublisher(registry, lambda: 0.0).latest).snapshot

    assert (snapshot.epoch, [d.name for d in snapshot.deployments]) == (5, ["echo"])
