from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_testing.controller_parts import ControllerParts, deployment, served_controller

AttachCall = grpc.aio.StreamStreamCall[control_pb2.AttachRequest, control_pb2.AttachResponse]


async def receive(call: AttachCall) -> control_pb2.AttachResponse:
    response = await call.read()
    assert isinstance(response, control_pb2.AttachResponse)
    return response


async def start_one(parts: ControllerParts) -> control_pb2.AttachRequest:
    """Lets a replica start; returns what its runner says first."""
    await parts.operations.apply([deployment()], prune=True)
    await parts.until(lambda: len(parts.actuator.running) == 1)
    (process,) = parts.actuator.running.values()
    return control_pb2.AttachRequest(
        register=control_pb2.Register(
            replica_id=process.replica_id,
            deployment_id="echo-1",
            boot_id="b",
            address="127.0.0.1:7000",
            pid=process.pid,
            protocol_version=1,
            status=control_pb2.ReplicaStatus(sequence=1, state=control_pb2.REPLICA_STATE_READY, stream_capacity=8),
        )
    )


def test_runner_is_registered_heard_commanded_and_suspect_when_its_call_ends(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            register = await start_one(parts)
            call = control_pb2_grpc.RunnerRegistryServiceStub(channel).Attach()
            await call.write(register)
            first = await receive(call)
            assert (first.registered.lease.seconds, first.registered.heartbeat.seconds, first.epoch) == (6, 2, 1)
            (replica,) = parts.registry.replicas()
            status = control_pb2.ReplicaStatus(sequence=2, state=control_pb2.REPLICA_STATE_READY, active_streams=3)
            await call.write(control_pb2.AttachRequest(status=status))
            await parts.until(lambda: replica.active_streams == 3)

            parts.world.sessions.drain(replica.replica_id, if_idle=True, grace_s=None)
            assert (await receive(call)).drain.if_idle
            call.cancel()
            await parts.until(lambda: replica.suspect)

    asyncio.run(scenario())


def test_call_of_a_runner_that_attaches_again_is_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            register = await start_one(parts)
            stub = control_pb2_grpc.RunnerRegistryServiceStub(channel)
            calls = [stub.Attach(), stub.Attach()]
            for call in calls:
                await call.write(register)
                await call.read()

            assert await calls[0].read() == grpc.aio.EOF
            (replica,) = parts.registry.replicas()
            assert not replica.suspect

    asyncio.run(scenario())


def test_first_request_must_be_register(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (_, address), grpc.aio.insecure_channel(address) as channel:
            call = control_pb2_grpc.RunnerRegistryServiceStub(channel).Attach()
            await call.write(control_pb2.AttachRequest(status=control_pb2.ReplicaStatus()))
            with pytest.raises(grpc.aio.AioRpcError, match="first request must be register"):
                await call.read()

    asyncio.run(scenario())


def test_call_without_any_request_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (_, address), grpc.aio.insecure_channel(address) as channel:
            call = control_pb2_grpc.RunnerRegistryServiceStub(channel).Attach()
            await call.done_writing()
            with pytest.raises(grpc.aio.AioRpcError, match="register must be sent"):
                await call.read()

    asyncio.run(scenario())
