from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from fastapi import WebSocket
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.served import TRUNK_SERVICE
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.server import RunnerServer
from penstock_testing.runner_server import LIMIT_S, serving


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def deaf(websocket: WebSocket) -> None:
    await asyncio.Event().wait()


def test_a_stream_over_a_real_connection() -> None:
    async def main() -> None:
        async with serving(echo) as (bench, changes):
            edge = bench.edge()
            stream = await edge.open()
            assert stream.is_accepted
            assert (bench.server.active_streams, bench.server.streams_total) == (1, 1)

            stream.stream.send(Kind.TEXT, b"hello")
            await edge.until(lambda: stream.messages == [b"hello"])
            stream.stream.close(EndCode.CLIENT_CLOSED, 1000)
            await edge.until(lambda: stream.closing is not None)
            await changes.until(lambda: bench.server.active_streams == 0)

    asyncio.run(main())


def test_streams_are_rejected_until_the_model_is_set() -> None:
    async def main() -> None:
        async with serving(None) as (bench, _):
            edge = bench.edge()
            assert (await edge.open()).rejected == EndCode.REPLICA_NOT_READY
            bench.server.set_model(LoadedModel(object(), echo, Path(__file__)))
            assert (await edge.open()).is_accepted
            assert bench.server.rejected_total == 1

    asyncio.run(main())


def test_slots_are_shared_by_all_edges() -> None:
    async def main() -> None:
        async with serving(deaf, slots=1) as (bench, _):
            one, other = bench.edge(), bench.edge()
            assert (await one.open()).is_accepted
            assert (await other.open()).rejected == EndCode.REPLICA_FULL

            bench.server.set_capacity(2)

            assert (await other.open()).is_accepted
            assert bench.server.capacity == 2

    asyncio.run(main())


def test_a_drain_tells_every_edge_and_keeps_the_open_streams() -> None:
    async def main() -> None:
        async with serving(echo) as (bench, _):
            edge, other = bench.edge(), bench.edge()
            stream = await edge.open()
            await other.until(lambda: other.endpoint.peer_name is not None)

            assert not bench.server.begin_drain(if_idle=True)
            assert bench.server.begin_drain(if_idle=False)
            assert bench.server.draining

            for each in (edge, other):
                await each.until(lambda each=each: each.went_away == ["draining"])  # type: ignore[misc]  # bound default
            assert (await edge.open()).rejected == EndCode.REPLICA_DRAINING
            late = bench.edge()
            await late.until(lambda: late.went_away == ["draining"])
            stream.stream.send(Kind.TEXT, b"still served")
            await edge.until(lambda: stream.messages == [b"still served"])

            bench.server.end_drain()
            assert (await edge.open()).is_accepted

    asyncio.run(main())


def test_a_stop_waits_for_open_streams() -> None:
    async def main() -> None:
        async with serving(echo) as (bench, _):
            edge = bench.edge()
            stream = await edge.open()
            stopping = asyncio.create_task(bench.server.stop(LIMIT_S))
            await edge.until(lambda: edge.went_away == ["draining"])
            assert not stopping.done()

            stream.stream.close(EndCode.CLIENT_CLOSED, 1000)

            assert await stopping == 0

    asyncio.run(main())


def test_a_stop_ends_what_remains_with_1012() -> None:
    async def main() -> None:
        async with serving(deaf) as (bench, _):
            edge = bench.edge()
            streams = [await edge.open() for _ in range(3)]

            assert await bench.server.stop(0.01) == 3

            for stream in streams:
                assert stream.closing == (EndCode.REPLICA_DRAINING, 1012, "Replica is stopping; connect again.")
            assert bench.server.active_streams == 0

    asyncio.run(main())


def test_handlers_of_an_edge_that_vanishes_are_cancelled() -> None:
    async def main() -> None:
        async with serving(deaf) as (bench, changes):
            edge = bench.edge()
            await edge.open()

            await edge.end()

            await changes.until(lambda: bench.server.active_streams == 0)

    asyncio.run(main())


def test_garbage_ends_its_trunk_and_no_other() -> None:
    async def main() -> None:
        async with serving(echo) as (bench, _):
            good = bench.edge()
            stream = await good.open()
            connect: Any = bench.channel.stream_stream(f"/{TRUNK_SERVICE}/Connect", None, None)
            bad = connect()
            await bad.write(b"\xff\xff nonsense")
            async with asyncio.timeout(LIMIT_S):
                while (await bad.read()) is not grpc.aio.EOF:
                    pass

            stream.stream.send(Kind.TEXT, b"fine")
            await good.until(lambda: stream.messages == [b"fine"])

    asyncio.run(main())


def test_health_follows_the_model() -> None:
    async def main() -> None:
        async with serving(None) as (bench, _):
            stub: Any = health_pb2_grpc.HealthStub(bench.channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING

            await bench.server.announce_ready(True)

            answer = await stub.Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

    asyncio.run(main())


def test_reflection_names_the_services() -> None:
    async def main() -> None:
        async with serving(None) as (bench, _):
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(bench.channel)  # type: ignore[arg-type]  # stubs: sync
            call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            async for answer in call:
                names = {service.name for service in answer.list_services_response.service}
                assert TRUNK_SERVICE in names
                assert "grpc.health.v1.Health" in names
                break

    asyncio.run(main())


def test_an_address_that_is_taken_is_an_os_error() -> None:
    async def main() -> None:
        async with serving(None) as (bench, _):
            second = RunnerServer(
                replica_id="r2", deployment_id="d1", settings=PenstockSettings(), on_change=lambda: None
            )
            with pytest.raises(OSError, match=f"cannot listen on {bench.address}"):
                await second.start(bench.address)

    asyncio.run(main())
