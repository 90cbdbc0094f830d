from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from penstock.api.common.v1 import common_pb2
from penstock.api.control.v1 import control_pb2
from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import WINDOW_BYTES
from penstock_edge.inference import SERVICE, InferenceServer

from penstock_testing.edge_kit import EdgeKit, ModelSide, duration

LIMIT_S = 20.0
TO_ECHO = (("penstock-model", "echo"),)


class Bench:
    def __init__(self, kit: EdgeKit, channel: grpc.aio.Channel, address: str) -> None:
        self.kit = kit
        self.address = address
        self.channel = channel
        self.stub = inference_pb2_grpc.InferenceServiceStub(channel)

    def call(self, metadata: tuple[tuple[str, str], ...] = TO_ECHO) -> Any:
        return self.stub.Stream(metadata=metadata)

    async def until(self, condition: Callable[[], bool]) -> None:
        """The edge runs in the same loop: every round of the loop may bring the condition about."""
        async with asyncio.timeout(LIMIT_S):
            while not condition():
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
            yield Bench(kit, channel, address)
        finally:
            await server.stop()


def text(data: str) -> inference_pb2.StreamRequest:
    return inference_pb2.StreamRequest(message=inference_pb2.Message(text=data))


def binary(data: bytes) -> inference_pb2.StreamRequest:
    return inference_pb2.StreamRequest(message=inference_pb2.Message(binary=data))


async def failure(call: Any) -> tuple[grpc.StatusCode, str, common_pb2.ErrorDetail]:
    """Status, text and machine-readable cause of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        while (await call.read()) is not grpc.aio.EOF:
            pass
    status = rpc_status.from_call(failed.value)  # type: ignore[arg-type]
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


def test_messages_pass_both_ways_and_the_model_ends_the_call() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            await call.write(text("héllo"))
            await call.write(binary(b"\xff"))
            await call.write(binary(b""))
            await bench.until(lambda: len(side.segments) == 3)
            assert side.take() == [(Kind.TEXT, "héllo".encode()), (Kind.BINARY, b"\xff"), (Kind.BINARY, b"")]

            side.send(Kind.TEXT, b"back")
            side.send(Kind.BINARY, b"\x00")
            side.close(EndCode.MODEL_CLOSED, 1000, "done")
            got = [response async for response in call]
            assert [response.message.text for response in got[:1]] == ["back"]
            assert got[1].message.binary == b"\x00"
            assert (got[2].close.code, got[2].close.reason) == (1000, "done")
            assert await call.code() is grpc.StatusCode.OK
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert_nothing_left(bench)

    asyncio.run(main())


def test_the_runner_is_told_who_asks() -> None:
    async def main() -> None:
        async with serving() as bench:
            call = bench.call((*TO_ECHO, ("x-tag", "1"), ("authorization", "secret")))
            request = (await bench.side()).request

            assert request.transport == trunk_pb2.TRANSPORT_GRPC
            assert ("x-tag", b"1") in [(header.name, header.value) for header in request.headers]
            assert b"secret" not in request.SerializeToString()
            call.cancel()

    asyncio.run(main())


def test_a_half_close_of_the_client_is_a_close_with_1000() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            await call.write(text("last"))
            await call.done_writing()
            await bench.until(lambda: side.closing is not None)
            assert side.segments == [(Kind.TEXT, b"last")]
            assert side.closing == (EndCode.CLIENT_CLOSED, 1000, "")
            side.close()
            assert (await call.read()).close.code == 1000
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert_nothing_left(bench)

    asyncio.run(main())


def test_a_close_of_the_client_keeps_its_code_and_reason() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            await call.write(inference_pb2.StreamRequest(close=inference_pb2.Close(code=4001, reason="bye")))
            await bench.until(lambda: side.closing is not None)
            assert side.closing == (EndCode.CLIENT_CLOSED, 4001, "bye")
            call.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "close_code", "status"),
    [
        (EndCode.MODEL_ERROR, 1011, grpc.StatusCode.INTERNAL),
        (EndCode.NOT_WEBSOCKET, 1003, grpc.StatusCode.UNIMPLEMENTED),
        (EndCode.REPLICA_DRAINING, 1012, grpc.StatusCode.UNAVAILABLE),
        (EndCode.MODEL_CLOSED, 4000, grpc.StatusCode.ABORTED),
    ],
)
def test_other_ends_are_the_status_that_belongs_to_them(
    code: EndCode, close_code: int, status: grpc.StatusCode
) -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            side.send(Kind.TEXT, b"before")
            side.close(code, close_code, "why")
            assert (await call.read()).message.text == "before"
            got, message, detail = await failure(call)
            assert (got, message) == (status, "why")
            assert (detail.code, detail.close_code, detail.deployment_id) == (code, close_code, "echo-1")
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert_nothing_left(bench)

    asyncio.run(main())


def test_a_lost_replica_is_unavailable_and_may_be_tried_again() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, _ = await bench.opened()
            bench.kit.runners["r1"].lose()
            status, _, detail = await failure(call)
            assert status is grpc.StatusCode.UNAVAILABLE
            assert (detail.code, detail.retryable) == (EndCode.REPLICA_LOST, True)

    asyncio.run(main())


def test_a_client_that_cancels_is_told_to_the_model_at_once() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            with structlog.testing.capture_logs() as logs:
                call.cancel()
                await bench.until(lambda: side.closing is not None)
                assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE
                side.close()
                await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert [entry["code"] for entry in logs if entry["event"] == "stream_ended"] == ["CLIENT_GONE"]
            assert_nothing_left(bench)

    asyncio.run(main())


def test_a_client_that_cancels_while_it_waits_leaves_nothing() -> None:
    async def main() -> None:
        async with serving() as bench:
            asked = bench.call()
            side = await bench.side()
            asked.cancel()
            await bench.until(lambda: side.closing is not None)
            side.accept()
            side.close()
            bench.kit.apply(("r1", 10, 10))
            waiting = bench.call()
            await bench.until(lambda: bench.kit.plane.waiting.has("echo-1"))
            waiting.cancel()
            await bench.until(lambda: not bench.kit.plane.waiting.has("echo-1"))
            assert bench.kit.plane.active_streams == 0

    asyncio.run(main())


def test_a_message_above_the_limit_ends_the_call() -> None:
    async def main() -> None:
        async with serving(control_pb2.StreamSettings(message_bytes_max=10)) as bench:
            call, side = await bench.opened()
            await call.write(binary(b"x" * 10))
            await call.write(binary(b"x" * 11))
            status, _, detail = await failure(call)
            assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (detail.code, detail.close_code) == (EndCode.MESSAGE_TOO_BIG, 1009)
            await bench.until(lambda: side.closing is not None)
            assert [len(data) for _, data in side.segments] == [10]

    asyncio.run(main())


def test_a_large_message_is_put_together_for_the_caller() -> None:
    async def main() -> None:
        options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        async with serving() as bench, grpc.aio.insecure_channel(bench.address, options=options) as channel:
            bench.stub = inference_pb2_grpc.InferenceServiceStub(channel)
            call, side = await bench.opened()
            data = bytes(range(256)) * (3 * WINDOW_BYTES // 256)
            reading = asyncio.create_task(call.read())
            side.send(Kind.BINARY, data)
            await bench.until(reading.done)
            assert reading.result().message.binary == data
            assert not side.stream.is_blocked
            call.cancel()

    asyncio.run(main())


def test_a_slow_model_stops_its_caller() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            sent = 0

            async def send_all() -> None:
                nonlocal sent
                for _ in range(200):
                    await call.write(binary(bytes(50_000)))
                    sent += 1

            sending = asyncio.create_task(send_all())
            await bench.until(lambda: sum(len(data) for _, data in side.segments) > WINDOW_BYTES - 100_000)
            for _ in range(20):
                await bench.until(lambda: True)
                assert sum(len(data) for _, data in side.segments) <= WINDOW_BYTES
            assert not sending.done()
            taken = 0
            while taken < 200:
                await bench.until(lambda: bool(side.segments))
                taken += sum(kind in (Kind.BINARY, Kind.LAST) for kind, _ in side.take())
            await sending
            assert sent == 200
            call.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    "metadata", [(("penstock-model", "nothing"),), (("penstock-model", "echo"), ("penstock-environment", "staging"))]
)
def test_an_unknown_model_is_not_found_and_told_how_to_name_one(metadata: tuple[tuple[str, str], ...]) -> None:
    async def main() -> None:
        async with serving() as bench:
            status, message, detail = await failure(bench.call(metadata))
            assert status is grpc.StatusCode.NOT_FOUND
            assert "'penstock-model'" in message
            assert detail.code == EndCode.NOT_FOUND

    asyncio.run(main())


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("penstock-model", "echo"), ("penstock-environment", "production")),
        (("penstock-deployment", "echo-1"),),
        (("baseten-model-id", "echo"), ("x-baseten-environment", "production")),
    ],
)
def test_every_way_of_naming_a_model_works(metadata: tuple[tuple[str, str], ...]) -> None:
    async def main() -> None:
        async with serving() as bench:
            answer = await bench.stub.GetModel(inference_pb2.GetModelRequest(), metadata=metadata)
            assert (answer.name, answer.deployment_id, list(answer.environments)) == ("echo", "echo-1", ["production"])
            assert answer.ready_replicas == 1

    asyncio.run(main())


def test_refusals_say_when_to_come_back() -> None:
    async def main() -> None:
        async with serving(control_pb2.StreamSettings(queue_timeout=duration(0))) as bench:
            bench.kit.apply(("r1", 10, 10), settings=control_pb2.StreamSettings(queue_timeout=duration(0)))
            call = bench.call()
            status, _, detail = await failure(call)
            assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (detail.code, detail.retryable) == (EndCode.REPLICA_FULL, True)
            assert ("retry-after", "1") in list(await call.trailing_metadata())

            bench.kit.plane.is_draining = True
            status, _, detail = await failure(bench.call())
            assert (status, detail.code) == (grpc.StatusCode.UNAVAILABLE, EndCode.EDGE_DRAINING)

    asyncio.run(main())


def test_health_and_reflection_are_served() -> None:
    async def main() -> None:
        async with serving() as bench:
            health = health_pb2_grpc.HealthStub(bench.channel)
            for service in ("", SERVICE):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            call = reflection_pb2_grpc.ServerReflectionStub(bench.channel).ServerReflectionInfo()
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            names = {service.name for service in (await call.read()).list_services_response.service}
            assert {SERVICE, "grpc.health.v1.Health"} <= names
            call.cancel()

    asyncio.run(main())


def test_an_address_that_is_taken_is_an_os_error() -> None:
    async def main() -> None:
        async with serving() as bench:
            with pytest.raises(OSError, match=f"cannot listen on {bench.address}"):
                await InferenceServer(bench.kit.plane).start(bench.address, 1)

    asyncio.run(main())
