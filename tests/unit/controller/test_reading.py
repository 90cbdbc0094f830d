from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2, control_pb2_grpc, load_pb2
from penstock_controller import edge_queries
from penstock_controller.scaling.config import ScalingSettings
from penstock_testing.controller_parts import ControllerParts, deployment, report, served_controller

T = 10.0
WANTED = deployment(replicas=None, scaling=ScalingSettings(max_replica=2, max_concurrency=8))


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[ControllerParts, admin_pb2_grpc.AdminServiceAsyncStub, str]]:
    async with served_controller(folder) as (parts, address), grpc.aio.insecure_channel(address) as channel:
        stub: admin_pb2_grpc.AdminServiceAsyncStub = admin_pb2_grpc.AdminServiceStub(channel)
        yield parts, stub, address


async def one_ready(parts: ControllerParts) -> str:
    await parts.operations.apply([WANTED], prune=True)
    await parts.until(lambda: len(parts.actuator.running) == 1)
    (replica_id,) = parts.actuator.running
    parts.attach(replica_id)
    return replica_id


def test_explanation_has_the_last_decisions_and_what_a_look_would_decide_now(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (parts, stub, _):
            replica_id = await one_ready(parts)
            await parts.settle()
            explained = await stub.ExplainDeployment(admin_pb2.ExplainDeploymentRequest(deployment="echo"), timeout=T)

            assert [(d.rule, d.from_replicas, d.to_replicas) for d in explained.history] == [("initial", 0, 1)]
            assert explained.now.rule == "steady"
            inputs = {value.name: value.value for value in explained.now.inputs}
            assert (inputs["ready_replicas"], inputs["slots_per_replica"]) == (1, 8)
            assert [view.replica_id for view in explained.replicas] == [replica_id]
            assert explained.deployment.autoscaling.max_replica == 2
            assert explained.HasField("next_look")

    asyncio.run(scenario())


def test_unknown_deployment_is_not_found_by_any_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (parts, stub, _):
            await parts.operations.apply([WANTED], prune=True)
            calls: list[Awaitable[object]] = [
                stub.ExplainDeployment(admin_pb2.ExplainDeploymentRequest(deployment="foo"), timeout=T),
                stub.ListStreams(admin_pb2.ListStreamsRequest(deployment="foo"), timeout=T),
                stub.ListStreams(admin_pb2.ListStreamsRequest(replica="foo"), timeout=T),
                stub.ListEvents(admin_pb2.ListEventsRequest(deployment="foo"), timeout=T),
            ]
            for call in calls:
                with pytest.raises(grpc.aio.AioRpcError, match="'foo'") as refused:
                    await call
                assert refused.value.code() is grpc.StatusCode.NOT_FOUND
            for watch in (
                stub.WatchEvents(admin_pb2.WatchEventsRequest(deployment="foo"), timeout=T),
                stub.RecordLoad(load_pb2.RecordLoadRequest(deployment="foo"), timeout=T),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await watch.read()
                assert refused.value.code() is grpc.StatusCode.NOT_FOUND

    asyncio.run(scenario())


def test_events_are_listed_and_followed_without_a_gap(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (parts, stub, _):
            await one_ready(parts)
            listed = (await stub.ListEvents(admin_pb2.ListEventsRequest(deployment="echo"), timeout=T)).events
            assert [event.kind for event in listed] == ["deployment_applied", "scale_decided", "replica_started"]
            newest = await stub.ListEvents(admin_pb2.ListEventsRequest(limit=1), timeout=T)
            assert [event.sequence for event in newest.events] == [listed[-1].sequence]

            watch = stub.WatchEvents(admin_pb2.WatchEventsRequest(after_sequence=listed[0].sequence))
            first = await watch.read()
            assert isinstance(first, admin_pb2.WatchEventsResponse)
            assert [event.kind for event in first.events] == ["scale_decided", "replica_started"]
            await parts.operations.pause("echo", True)
            second = await watch.read()
            assert isinstance(second, admin_pb2.WatchEventsResponse)
            assert [event.kind for event in second.events] == ["scaling_paused"]
            watch.cancel()

    asyncio.run(scenario())


def test_watch_without_a_start_begins_with_the_next_event_and_ends_with_the_controller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (parts, stub, _):
            await one_ready(parts)
            watch = stub.WatchEvents(admin_pb2.WatchEventsRequest())
            reading = asyncio.create_task(watch.read())
            # The call must have begun before the event: another call on the same connection comes after it.
            await stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=T)
            await parts.operations.pause("echo", True)
            first = await reading
            assert isinstance(first, admin_pb2.WatchEventsResponse)
            assert [event.kind for event in first.events] == ["scaling_paused"]
        assert await watch.code() is not None

    asyncio.run(scenario())


def test_load_is_told_when_it_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path) as (parts, stub, _):
            await parts.operations.apply([WANTED], prune=True)
            await parts.until(lambda: len(parts.actuator.running) == 1)
            record = stub.RecordLoad(load_pb2.RecordLoadRequest())
            first = await record.read()
            assert isinstance(first, load_pb2.RecordLoadResponse)
            assert [(load.name, load.active_streams, load.ready_replicas) for load in first.loads] == [("echo", 0, 0)]
            assert first.loads[0].autoscaling.max_replica == 2

            parts.clock.now += 3.0
            (replica_id,) = parts.actuator.running
            session = parts.attach(replica_id)
            parts.reconciler.report(replica_id, session, report(2, active=2))
            load = first.loads[0]
            while load.active_streams != 2 or not load.cold_starts:
                told = await record.read()
                assert isinstance(told, load_pb2.RecordLoadResponse)
                load = told.loads[0]
            assert load.ready_replicas == 1
            assert load.cold_starts[0].seconds == 3
            record.cancel()

    asyncio.run(scenario())


async def edge(address: str, edge_id: str, streams: list[control_pb2.StreamView] | None) -> grpc.aio.Channel:
    """An edge that answers lists with `streams`; None answers nothing."""
    channel = grpc.aio.insecure_channel(address)
    call = control_pb2_grpc.EdgeSessionServiceStub(channel).Watch()
    await call.write(control_pb2.WatchRequest(subscribe=control_pb2.Subscribe(edge_id=edge_id)))
    await call.read()

    async def answer() -> None:
        while True:
            response = await call.read()
            if not isinstance(response, control_pb2.WatchResponse):
                return
            if response.HasField("list_open_streams") and streams is not None:
                query = response.list_open_streams
                answered = control_pb2.OpenStreamList(
                    query_id=query.query_id, streams=streams[: query.limit], matching=len(streams)
                )
                await call.write(control_pb2.WatchRequest(open_stream_list=answered))

    _answering.add(asyncio.create_task(answer()))
    return channel


_answering: set[asyncio.Task[None]] = set()


def stream(stream_id: str, age_s: int) -> control_pb2.StreamView:
    view = control_pb2.StreamView(stream_id=stream_id)
    view.age.FromSeconds(age_s)
    return view


def test_streams_of_all_edges_come_oldest_first_and_silent_edges_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_queries, "ANSWER_S", 2.0)

    async def scenario() -> None:
        async with served(tmp_path) as (_, stub, address):
            channels = [
                await edge(address, "e1", [stream("a", 5), stream("b", 1)]),
                await edge(address, "e2", [stream("c", 3)]),
                await edge(address, "mute", None),
            ]
            listed = await stub.ListStreams(admin_pb2.ListStreamsRequest(limit=2), timeout=T)
            assert [view.stream_id for view in listed.streams] == ["a", "c"]
            assert (listed.matching, list(listed.silent_edges)) == (3, ["mute"])
            for channel in channels:
                await channel.close()

    asyncio.run(scenario())
