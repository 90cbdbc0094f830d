from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_testing.controller_parts import deployment, served_controller

WatchCall = grpc.aio.StreamStreamCall[control_pb2.WatchRequest, control_pb2.WatchResponse]

SUBSCRIBE = control_pb2.WatchRequest(subscribe=control_pb2.Subscribe(edge_id="e1", http_address="127.0.0.1:80"))


async def receive(call: WatchCall) -> control_pb2.Snapshot:
    response = await call.read()
    assert isinstance(response, control_pb2.WatchResponse)
    return response.snapshot


def test_edge_gets_the_state_at_once_and_on_change_and_its_demand_ends_with_its_call(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            call = control_pb2_grpc.EdgeSessionServiceStub(channel).Watch()
            await call.write(SUBSCRIBE)
            first = await receive(call)
            assert (first.epoch, list(first.deployments)) == (1, [])
            await parts.operations.apply([deployment()], prune=True)
            while not (await receive(call)).deployments:
                pass

            status = control_pb2.EdgeStatus(demands=[control_pb2.Demand(deployment_id="echo-1", waiting=2)])
            await call.write(control_pb2.WatchRequest(status=status))
            await parts.until(lambda: parts.registry.edges.waiting_streams("echo-1", parts.clock()) == 2)
            call.cancel()
            await parts.until(lambda: len(parts.registry.edges) == 0)
            assert parts.registry.edges.waiting_streams("echo-1", parts.clock()) == 0

    asyncio.run(scenario())


def test_edge_that_half_closes_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            call = control_pb2_grpc.EdgeSessionServiceStub(channel).Watch()
            await call.write(SUBSCRIBE)
            await call.read()
            await call.done_writing()
            await parts.until(lambda: len(parts.registry.edges) == 0)

    asyncio.run(scenario())


def test_newer_call_of_an_edge_ends_the_older(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            stub = control_pb2_grpc.EdgeSessionServiceStub(channel)
            older, newer = stub.Watch(), stub.Watch()
            for call in (older, newer):
                await call.write(SUBSCRIBE)
                await call.read()

            async with asyncio.timeout(10):
                while await older.read() != grpc.aio.EOF:
                    pass
            assert len(parts.registry.edges) == 1
            newer.cancel()

    asyncio.run(scenario())


def test_unreachable_replica_is_looked_at(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            await parts.operations.apply([deployment()], prune=True)
            await parts.until(lambda: len(parts.actuator.running) == 1)
            (replica_id,) = parts.actuator.running
            call = control_pb2_grpc.EdgeSessionServiceStub(channel).Watch()
            await call.write(SUBSCRIBE)
            feedback = control_pb2.PlacementFeedback(
                replica_id=replica_id, outcome=control_pb2.PLACEMENT_OUTCOME_UNREACHABLE
            )
            await call.write(control_pb2.WatchRequest(status=control_pb2.EdgeStatus(feedback=[feedback])))

            (replica,) = parts.registry.replicas()
            await parts.until(lambda: replica.unreachable_at is not None)
            call.cancel()

    asyncio.run(scenario())


def test_first_request_must_be_subscribe(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (_, address), grpc.aio.insecure_channel(address) as channel:
            call = control_pb2_grpc.EdgeSessionServiceStub(channel).Watch()
            await call.write(control_pb2.WatchRequest(status=control_pb2.EdgeStatus()))
            with pytest.raises(grpc.aio.AioRpcError, match="first request must be subscribe"):
                await call.read()

    asyncio.run(scenario())
