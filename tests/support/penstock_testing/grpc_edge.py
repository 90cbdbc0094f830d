"""The public gRPC interface of an edge, served for real on a port, in front of runners that a test answers for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_status import rpc_status

from penstock.api.common.v1 import common_pb2
from penstock.api.control.v1 import control_pb2
from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock_edge.inference import InferenceServer
from penstock_testing.edge_kit import EdgeKit, ModelSide

LIMIT_S = 20.0
TO_ECHO = (("penstock-model", "echo"),)


class Bench:
    def __init__(self, kit: EdgeKit, server: InferenceServer, channel: grpc.aio.Channel, address: str) -> None:
        self.kit = kit
        self.server = server
        self.address = address
        self.channel = channel
        self.stub = inference_pb2_grpc.InferenceServiceStub(channel)

    def call(self, metadata: tuple[tuple[str, str], ...] = TO_ECHO) -> Any:
        return self.stub.Stream(metadata=metadata)

    async def until(self, condition: Callable[[], bool]) -> None:
        """The edge runs in the same loop: every round of the loop may bring the condition about."""
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await self.round()

    async def round(self) -> None:
        """Lets the edge and the runners go on a little."""
        turn = asyncio.Event()
        asyncio.get_running_loop().call_later(0.002, turn.set)
        await turn.wait()
        for runner in self.kit.runners.values():
            runner.pump()

    async def side(self, index: int = 0) -> ModelSide:
        runner = self.kit.runners["r1"]
        await self.until(lambda: len(runner.streams) > index)
        return runner.streams[index]

    async def opened(self, index: int = 0) -> tuple[Any, ModelSide]:
        call = self.call()
        side = await self.side(index)
        side.accept()
        await call.initial_metadata()
        return call, side


@asynccontextmanager
async def serving(settings: control_pb2.StreamSettings | None = None) -> AsyncIterator[Bench]:
    kit = EdgeKit()
    kit.apply(("r1", 0, 10), settings=settings)
    server = InferenceServer(kit.plane)
    address = await server.start("127.0.0.1:0", 1)
    async with asyncio.timeout(LIMIT_S), grpc.aio.insecure_channel(address) as channel:
        try:
            yield Bench(kit, server, channel, address)
        finally:
            await server.stop()


def text(data: str) -> inference_pb2.StreamRequest:
    return inference_pb2.StreamRequest(message=inference_pb2.Message(text=data))


def binary(data: bytes) -> inference_pb2.StreamRequest:
    return inference_pb2.StreamRequest(message=inference_pb2.Message(binary=data))


async def read_to_the_end(call: Any) -> None:
    while (await call.read()) is not grpc.aio.EOF:
        pass


async def failure(call: Any) -> tuple[grpc.StatusCode, str, common_pb2.ErrorDetail]:
    """Status, text and machine-readable cause of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await read_to_the_end(call)
    status = rpc_status.from_call(failed.value)  # type: ignore[arg-type]  # stubs: sync
    assert status is not None
    detail = common_pb2.ErrorDetail()
    assert status.details[0].Unpack(detail)
    return failed.value.code(), status.message, detail


def assert_nothing_left(bench: Bench) -> None:
    runner = bench.kit.runners["r1"]
    runner.pump()
    assert bench.kit.plane.active_streams == 0
    assert bench.kit.active("r1") == 0
    assert runner.edge.streams == {} and runner.side.streams == {}
