from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_edge import watch as watch_module
from penstock_edge.watch import ControllerSession
from penstock_testing.edge_kit import EdgeKit

LIMIT_S = 20.0


def snapshot(version: int, name: str = "echo") -> control_pb2.Snapshot:
    return control_pb2.Snapshot(
        epoch=1,
        version=version,
        deployments=[control_pb2.DeploymentRoute(deployment_id=name, name=name, environments=["production"])],
    )


class Controller(control_pb2_grpc.EdgeSessionServiceServicer):
    """Sends what a test says, and notes what edges tell."""

    def __init__(self) -> None:
        self.requests: list[control_pb2.WatchRequest] = []
        self.calls = 0
        self.news = asyncio.Event()
        self.outbox: asyncio.Queue[control_pb2.Snapshot | None] = asyncio.Queue()
        """None ends the call."""

    async def Watch(self, requests: Any, context: Any) -> AsyncIterator[control_pb2.WatchResponse]:
        self.calls += 1
        self.news.set()
        reading = asyncio.create_task(self._read(requests))
        try:
            while (made := await self.outbox.get()) is not None:
                yield control_pb2.WatchResponse(snapshot=made)
        finally:
            reading.cancel()

    async def _read(self, requests: Any) -> None:
        async for request in requests:
            self.requests.append(request)
            self.news.set()

    def statuses(self) -> list[control_pb2.EdgeStatus]:
        return [request.status for request in self.requests if request.HasField("status")]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.news.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self.news.wait()
                except TimeoutError:
                    pass


@asynccontextmanager
async def session() -> AsyncIterator[tuple[Controller, EdgeKit, ControllerSession]]:
    controller = Controller()
    server = grpc.aio.server()
    control_pb2_grpc.add_EdgeSessionServiceServicer_to_server(controller, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    kit = EdgeKit()
    made = ControllerSession(kit.plane, f"127.0.0.1:{port}", "h:1", "g:2")
    running = asyncio.create_task(made.run())
    try:
        yield controller, kit, made
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        await server.stop(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(watch_module, "RETRY_S_MIN", 0.01)


def test_the_edge_says_who_it_is_and_takes_snapshots() -> None:
    async def main() -> None:
        async with session() as (controller, kit, made):
            controller.outbox.put_nowait(snapshot(7))
            await controller.until(lambda: any(status.snapshot_version == 7 for status in controller.statuses()))

            subscribe = controller.requests[0].subscribe
            assert (subscribe.edge_id, subscribe.http_address, subscribe.grpc_address) == ("edge-test", "h:1", "g:2")
            assert subscribe.pid > 0 and subscribe.version and subscribe.HasField("started_at")
            assert kit.plane.table.by_id("echo") is not None
            assert made.stale_s < LIMIT_S

    asyncio.run(main())


def test_statuses_come_at_every_heartbeat_with_what_the_edge_holds() -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            kit.plane.stream_began()
            kit.plane.is_draining = True
            kit.plane.waiting.count_refusal("echo")
            count = len(controller.statuses())
            await controller.until(lambda: len(controller.statuses()) > count + 3)

            status = controller.statuses()[-1]
            assert (status.active_streams, status.draining) == (1, True)
            assert [(demand.deployment_id, demand.refused_total) for demand in status.demands] == [("echo", 1)]

    asyncio.run(main())


def test_failed_attempts_are_told_to_the_controller_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(watch_module, "HEARTBEAT_S", LIMIT_S)
        async with session() as (controller, kit, _):
            await controller.until(lambda: bool(controller.statuses()))
            kit.plane.met("r1", control_pb2.PLACEMENT_OUTCOME_FULL)
            await controller.until(lambda: any(status.feedback for status in controller.statuses()))
            kit.plane.met("r2", control_pb2.PLACEMENT_OUTCOME_DRAINING)
            await controller.until(
                lambda: any(entry.replica_id == "r2" for status in controller.statuses() for entry in status.feedback)
            )

            told = [entry.replica_id for status in controller.statuses() for entry in status.feedback]
            assert told == ["r1", "r2"]

    asyncio.run(main())


def test_a_session_that_ends_is_opened_again_and_the_last_snapshot_holds() -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            controller.outbox.put_nowait(snapshot(1))
            await controller.until(lambda: kit.plane.snapshot_version == 1)

            controller.outbox.put_nowait(None)
            await controller.until(lambda: controller.calls == 2)

            assert kit.plane.table.by_id("echo") is not None
            again = [request.subscribe for request in controller.requests if request.HasField("subscribe")]
            await controller.until(lambda: len(again) >= 1)
            controller.outbox.put_nowait(snapshot(2, "other"))
            await controller.until(lambda: kit.plane.table.by_id("other") is not None)

    asyncio.run(main())


def test_a_controller_that_falls_silent_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SILENCE_S", 0.1)

    async def main() -> None:
        async with session() as (controller, _, _):
            await controller.until(lambda: controller.calls >= 3)

    asyncio.run(main())


def test_a_snapshot_that_cannot_be_applied_does_not_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            apply = kit.plane.apply

            def fail_once(made: control_pb2.Snapshot) -> None:
                monkeypatch.setattr(kit.plane, "apply", apply)
                raise ValueError("a defect")

            monkeypatch.setattr(kit.plane, "apply", fail_once)
            controller.outbox.put_nowait(snapshot(1))
            await controller.until(lambda: controller.calls == 2)
            controller.outbox.put_nowait(snapshot(2))
            controller.outbox.put_nowait(snapshot(2))
            await controller.until(lambda: kit.plane.snapshot_version == 2)

    asyncio.run(main())


def test_a_burst_of_failed_attempts_is_told_in_few_statuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(watch_module, "HEARTBEAT_S", LIMIT_S)
        async with session() as (controller, kit, _):
            await controller.until(lambda: bool(controller.statuses()))
            for number in range(500):
                kit.plane.met(f"r{number}", control_pb2.PLACEMENT_OUTCOME_FULL)
                await asyncio.sleep(0)

            def told() -> int:
                return sum(len(status.feedback) for status in controller.statuses())

            await controller.until(lambda: told() == 500)
            assert len(controller.statuses()) < 50

    asyncio.run(main())
