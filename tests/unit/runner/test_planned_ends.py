"""Ends of streams that a drain plans ahead, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from fastapi import WebSocket

from penstock.close_codes import EndCode
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.sessions import Sessions
from penstock_runner.slots import Slots
from penstock_testing.client_side import DEPLOYMENT_ID, ClientSide, MemoryTrunk, pass_time, settle
from penstock_testing.virtual_time import run_virtual

DRAINING = (EndCode.REPLICA_DRAINING, 1012, "Replica is stopping; connect again.")


async def deaf(websocket: WebSocket) -> None:
    """Waits for something else than its client."""
    await asyncio.Event().wait()


class Scene:
    """Streams on one replica, and when each of them was ended."""

    def __init__(self, streams: int, *, seed: int = 1, handler: Callable[[WebSocket], object] = deaf) -> None:
        self.slots = Slots(1000)
        self.wall = 1_700_000_000.0
        self.sessions = Sessions(
            DEPLOYMENT_ID,
            self.slots,
            PenstockSettings(disconnect_grace_s=0.5, cleanup_grace_s=10),
            lambda: None,
            wall=lambda: self.wall,
            draw=Random(seed).random,
        )
        self.sessions.set_model(LoadedModel(object(), handler, Path(__file__)))  # type: ignore[arg-type]  # all are async
        self.trunk = MemoryTrunk(self.sessions.open)
        self.clients = [self.open() for _ in range(streams)]
        self.began_at = asyncio.get_running_loop().time()

    def open(self) -> ClientSide:
        client = self.trunk.open()
        self.wall += 1.0
        return client

    def plan(self, grace_s: float, spread_s: float) -> None:
        self.sessions.end_within(EndCode.REPLICA_DRAINING, grace_s, spread_s)

    def open_count(self) -> int:
        return sum(client.closing is None for client in self.clients)

    async def open_after(self, seconds: float) -> int:
        """How many streams are open that many seconds after the beginning."""
        await pass_time(self.began_at + seconds - asyncio.get_running_loop().time())
        await settle()
        return self.open_count()


def test_streams_end_one_after_another_over_the_last_part_of_the_grace() -> None:
    async def main() -> None:
        scene = Scene(100)
        scene.plan(60.0, 20.0)

        assert await scene.open_after(39.9) == 100
        assert 45 <= await scene.open_after(50.0) <= 55
        assert await scene.open_after(60.0) == 0
        assert {client.closing for client in scene.clients} == {DRAINING}
        assert scene.slots.active == 0
        assert scene.sessions.planned_ends_total == 100

    run_virtual(main())


def test_a_later_plan_takes_the_place_of_the_earlier() -> None:
    async def main() -> None:
        scene = Scene(50)
        scene.plan(10.0, 10.0)
        assert 0 < (left := await scene.open_after(5.0)) < 50

        scene.plan(100.0, 10.0)

        assert await scene.open_after(94.9) == left
        assert await scene.open_after(105.0) == 0

    run_virtual(main())


def test_a_plan_that_is_taken_back_ends_nothing_more() -> None:
    async def main() -> None:
        scene = Scene(50)
        scene.plan(10.0, 10.0)
        left = await scene.open_after(5.0)

        scene.sessions.end_nothing()

        assert await scene.open_after(1000.0) == left > 0
        assert scene.sessions.planned_ends_total == 50 - left

    run_virtual(main())


def test_a_stream_that_ends_by_itself_leaves_nothing_of_its_plan() -> None:
    async def main() -> None:
        scene = Scene(3)
        scene.plan(10_000.0, 1.0)
        for client in scene.clients:
            client.close()
        await pass_time(30)

        assert scene.slots.active == 0
        pending = [handle for handle in vars(asyncio.get_running_loop())["_scheduled"] if not handle.cancelled()]
        assert pending == []
        assert scene.sessions.planned_ends_total == 0

    run_virtual(main())


def test_a_handler_may_clean_up_after_its_planned_end_although_its_client_has_answered() -> None:
    cleaned: list[bool] = []

    async def cleaning(websocket: WebSocket) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await pass_time(8)
            cleaned.append(True)

    async def main() -> None:
        scene = Scene(1, handler=cleaning)
        await settle()
        scene.plan(1.0, 0.5)
        assert await scene.open_after(1.0) == 0
        scene.clients[0].close()
        assert scene.slots.active == 1, "a handler that cleans up holds its slot"

        await scene.open_after(9.5)

        assert cleaned == [True]
        assert scene.slots.active == 0

    run_virtual(main())


def test_a_handler_that_ignores_its_planned_end_loses_its_slot() -> None:
    async def stubborn(websocket: WebSocket) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await pass_time(60)
                return

    async def main() -> None:
        scene = Scene(1, handler=stubborn)
        await settle()
        scene.plan(1.0, 0.0)

        await scene.open_after(10.9)
        assert scene.slots.active == 1
        await scene.open_after(11.1)
        assert scene.slots.active == 0
        await scene.open_after(100)
        assert scene.slots.active == 0

    run_virtual(main())


def test_the_rest_is_counted_once_when_the_grace_is_over() -> None:
    async def main() -> None:
        scene = Scene(40)
        scene.plan(10.0, 10.0)
        left = await scene.open_after(5.0)

        assert scene.sessions.end_all(EndCode.REPLICA_DRAINING) == left
        assert scene.sessions.planned_ends_total + left == 40
        await settle()
        assert scene.slots.active == 0

    run_virtual(main())


@pytest.mark.parametrize("order", ["oldest first", "newest first"])
def test_the_oldest_stream_is_told_until_it_ends(order: str) -> None:
    async def main() -> None:
        scene = Scene(3)
        clients = scene.clients if order == "oldest first" else scene.clients[::-1]
        seen = [scene.sessions.oldest_opened_at_s]
        for client in clients:
            client.vanish()
            await pass_time(1)
            seen.append(scene.sessions.oldest_opened_at_s)

        t = 1_700_000_000.0
        assert seen == ([t, t + 1, t + 2, None] if order == "oldest first" else [t, t, t, None])
        scene.open()
        assert scene.sessions.oldest_opened_at_s == t + 3

    run_virtual(main())
