from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
import structlog

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_edge import watch as watch_module
from penstock_edge.watch import ControllerSession
from penstock_testing.client_streams import FakeClientStream
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
        self.outbox: asyncio.Queue[control_pb2.Snapshot | control_pb2.WatchResponse | None] = asyncio.Queue()
        """None ends the call."""

    async def Watch(self, requests: Any, context: Any) -> AsyncIterator[control_pb2.WatchResponse]:
        self.calls += 1
        self.news.set()
        reading = asyncio.create_task(self._read(requests))
        try:
            while (made := await self.outbox.get()) is not None:
                yield control_pb2.WatchResponse(snapshot=made) if isinstance(made, control_pb2.Snapshot) else made
        finally:
            reading.cancel()

    async def _read(self, requests: Any) -> None:
        async for request in requests:
            self.requests.append(request)
            self.news.set()

    def statuses(self) -> list[control_pb2.EdgeStatus]:
        return [request.status for request in self.requests if request.HasField("status")]

    def ask_for_streams(self, query_id: int) -> None:
        query = control_pb2.ListOpenStreams(query_id=query_id)
        self.outbox.put_nowait(control_pb2.WatchResponse(list_open_streams=query))

    def lists(self) -> list[control_pb2.OpenStreamList]:
        return [request.open_stream_list for request in self.requests if request.HasField("open_stream_list")]

    def ends(self) -> list[control_pb2.EndedStreams]:
        return [request.ended_streams for request in self.requests if request.HasField("ended_streams")]

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
    made = ControllerSession(kit.plane, f"127.0.0.1:{port}", "h:1", "g:2", "i:3")
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
            assert subscribe.inner_address == "i:3"
            assert subscribe.pid > 0 and subscribe.version and subscribe.HasField("started_at")
            assert kit.plane.table.by_id("echo") is not None
            assert made.stale_s < LIMIT_S

    asyncio.run(main())


def test_statuses_come_at_every_heartbeat_with_what_the_edge_holds() -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            kit.plane.stream_began(FakeClientStream())
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


def test_open_streams_are_listed_and_ended_over_the_session() -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            streams = [FakeClientStream(f"s-{number}") for number in range(3)]
            for stream in streams:
                kit.plane.stream_began(stream)

            controller.ask_for_streams(1)
            order = control_pb2.EndOpenStreams(query_id=2, stream_ids=["s-1"], close_code=4001, reason="moved")
            controller.outbox.put_nowait(control_pb2.WatchResponse(end_open_streams=order))
            await controller.until(lambda: bool(controller.ends()))

            (answer,) = controller.lists()
            assert answer.query_id == 1
            assert [view.stream_id for view in answer.streams] == ["s-0", "s-1", "s-2"]
            assert {view.edge_id for view in answer.streams} == {"edge-test"}
            (ends,) = controller.ends()
            assert (ends.query_id, list(ends.stream_ids)) == (2, ["s-1"])
            assert [stream.ended for stream in streams] == [None, (4001, "moved"), None]

    asyncio.run(main())


def test_an_order_that_makes_no_sense_is_answered_and_the_session_goes_on() -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            stream = FakeClientStream()
            kit.plane.stream_began(stream)
            order = control_pb2.EndOpenStreams(query_id=5, stream_ids=["s-1"], close_code=1006)
            with structlog.testing.capture_logs() as logs:
                controller.outbox.put_nowait(control_pb2.WatchResponse(end_open_streams=order))
                await controller.until(lambda: bool(controller.ends()))

            assert [(answer.query_id, list(answer.stream_ids)) for answer in controller.ends()] == [(5, [])]
            assert stream.ended is None
            assert "operator_close_refused" in [entry["event"] for entry in logs]
            controller.outbox.put_nowait(snapshot(1))
            await controller.until(lambda: kit.plane.snapshot_version == 1)
            assert controller.calls == 1

    asyncio.run(main())


def test_what_a_newer_controller_asks_is_ignored() -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            unknown = b"\xfa\x01\x00"  # field 31, an empty message
            controller.outbox.put_nowait(control_pb2.WatchResponse.FromString(unknown))
            controller.outbox.put_nowait(snapshot(1))
            controller.ask_for_streams(1)
            await controller.until(lambda: bool(controller.lists()))
            assert kit.plane.snapshot_version == 1
            assert (controller.calls, controller.ends()) == (1, [])

    asyncio.run(main())


def test_answers_come_at_once_and_in_order_with_a_status_between_any_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "HEARTBEAT_S", 2 * LIMIT_S)

    async def main() -> None:
        async with session() as (controller, _, _):
            await controller.until(lambda: bool(controller.statuses()))
            for query_id in range(10):
                controller.ask_for_streams(query_id)
            await controller.until(lambda: len(controller.lists()) == 10)

            assert [answer.query_id for answer in controller.lists()] == list(range(10))
            kinds = [request.WhichOneof("kind") for request in controller.requests]
            assert ("open_stream_list", "open_stream_list") not in set(itertools.pairwise(kinds))

    asyncio.run(main())


def test_questions_beyond_the_limit_get_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            gate = asyncio.Event()
            answer_list = kit.plane.open_streams.answer_list

            async def wait_and_answer(query: control_pb2.ListOpenStreams, answer: control_pb2.OpenStreamList) -> None:
                await gate.wait()
                await answer_list(query, answer)

            monkeypatch.setattr(kit.plane.open_streams, "answer_list", wait_and_answer)
            with structlog.testing.capture_logs() as logs:
                for query_id in range(watch_module.QUERIES_MAX + 5):
                    controller.ask_for_streams(query_id)
                controller.outbox.put_nowait(snapshot(1))
                await controller.until(lambda: kit.plane.snapshot_version == 1)
                gate.set()
                await controller.until(lambda: len(controller.lists()) >= watch_module.QUERIES_MAX)

            dropped = [entry for entry in logs if entry["event"] == "stream_query_dropped"]
            assert len(dropped) in (4, 5), "the first may have been taken out of the queue already"
            await controller.until(lambda: len(controller.lists()) == watch_module.QUERIES_MAX + 5 - len(dropped))

    asyncio.run(main())


def test_a_defect_in_an_answer_does_not_end_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with session() as (controller, kit, _):
            broken = FakeClientStream()
            monkeypatch.setattr(broken, "client_address", lambda: 1 // 0)
            kit.plane.stream_began(broken)
            controller.ask_for_streams(1)
            kit.plane.loop.call_later(0.05, kit.plane.stream_over, broken)
            await controller.until(lambda: kit.plane.active_streams == 0)
            controller.ask_for_streams(2)
            await controller.until(lambda: bool(controller.lists()))

            assert [answer.query_id for answer in controller.lists()] == [2]
            assert controller.calls == 1

    asyncio.run(main())
