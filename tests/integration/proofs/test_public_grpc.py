"""The public gRPC interface of the edge: `penstock.Client` over it, and plain stubs as any language has them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from penstock import Client, EndCode, UpstreamError
from penstock.api.common.v1 import common_pb2
from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock_testing.figures import MIB
from penstock_testing.platform import Platform
from penstock_testing.prover import Prover, run

SERVICE = "penstock.api.inference.v1.InferenceService"

MESSAGES: list[str | bytes] = ["text", b"binary", "", b"", "ünï ☃", bytes(range(256)) * (5 * MIB // 256), "x" * MIB]

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

BY_NAME = (("penstock-model", "prover"),)


def request(message: str | bytes) -> inference_pb2.StreamRequest:
    fields: Any = {"text": message} if isinstance(message, str) else {"binary": message}
    return inference_pb2.StreamRequest(message=inference_pb2.Message(**fields))


def content(response: Any) -> str | bytes:
    kind = response.message.WhichOneof("payload")
    assert kind in ("text", "binary"), response
    payload: str | bytes = getattr(response.message, kind)
    return payload


def order(do: str, case: str = "", **arguments: object) -> inference_pb2.StreamRequest:
    return request(json.dumps({"do": do, "case": case, **arguments}))


@asynccontextmanager
async def stub(platform: Platform) -> AsyncIterator[inference_pb2_grpc.InferenceServiceAsyncStub]:
    async with grpc.aio.insecure_channel(platform.grpc, options=OPTIONS) as channel:
        yield inference_pb2_grpc.InferenceServiceStub(channel)


def error_detail(error: Any) -> common_pb2.ErrorDetail:
    """The machine-readable cause in the rich error."""
    status = rpc_status.from_call(error)
    assert status is not None
    detail = common_pb2.ErrorDetail()
    assert status.details[0].Unpack(detail)
    return detail


def test_client_over_grpc_exchanges_every_kind_of_message(platform: Platform) -> None:
    async def scenario() -> list[str | bytes]:
        async with Client(f"grpc://{platform.grpc}") as client, client.stream("prover") as stream:
            await stream.send(json.dumps({"do": "echo"}))
            for message in MESSAGES:
                await stream.send(message)
            return [await stream.recv() for _ in MESSAGES]

    assert run(scenario()) == MESSAGES


def test_client_over_grpc_gets_the_error_of_the_model(platform: Platform) -> None:
    async def scenario() -> UpstreamError:
        async with Client(f"grpc://{platform.grpc}") as client, client.stream("prover") as stream:
            await stream.send(json.dumps({"do": "raise"}))
            with pytest.raises(UpstreamError) as caught:
                await stream.recv()
            return caught.value

    error = run(scenario())

    assert (error.code, error.close_code) == (EndCode.MODEL_ERROR, 1011)
    assert error.reason == "Internal Server Error (in model/chainlet)."


@pytest.mark.parametrize(
    "metadata",
    [
        BY_NAME,
        (("penstock-model", "prover"), ("penstock-environment", "production")),
        (("baseten-model-id", "prover"),),
    ],
)
def test_stub_exchanges_every_kind_of_message(platform: Platform, metadata: tuple[tuple[str, str], ...]) -> None:
    async def scenario() -> tuple[list[str | bytes], Any, grpc.StatusCode]:
        async with stub(platform) as service:
            call = service.Stream(metadata=metadata)
            await call.write(order("echo"))
            echoes = []
            for message in MESSAGES:
                await call.write(request(message))
                echoes.append(content(await call.read()))
            await call.done_writing()
            last = await call.read()
            return echoes, last, await call.code()

    echoes, last, code = run(scenario())

    assert echoes == MESSAGES
    assert (last.WhichOneof("kind"), last.close.code, code) == ("close", 1000, grpc.StatusCode.OK)


def test_slot_is_announced_before_the_first_message(platform: Platform) -> None:
    async def scenario() -> bool:
        async with stub(platform) as service:
            call = service.Stream(metadata=BY_NAME)
            async with asyncio.timeout(10):
                await call.initial_metadata()
            call.cancel()
            return True

    assert run(scenario())


@pytest.mark.parametrize(
    ("metadata", "do", "status", "code"),
    [
        (BY_NAME, {"do": "raise"}, grpc.StatusCode.INTERNAL, EndCode.MODEL_ERROR),
        (BY_NAME, {"do": "close", "code": 4001, "reason": "mine"}, grpc.StatusCode.ABORTED, EndCode.MODEL_CLOSED),
        ((("penstock-model", "nobody"),), None, grpc.StatusCode.NOT_FOUND, EndCode.NOT_FOUND),
    ],
)
def test_end_has_its_status_and_its_cause(
    platform: Platform,
    metadata: tuple[tuple[str, str], ...],
    do: dict[str, Any] | None,
    status: grpc.StatusCode,
    code: EndCode,
) -> None:
    async def scenario() -> grpc.aio.AioRpcError:
        async with stub(platform) as service:
            call = service.Stream(metadata=metadata)
            try:
                if do is not None:
                    await call.write(order(**do))
                while await call.read() is not grpc.aio.EOF:
                    pass
            except grpc.aio.AioRpcError as error:
                return error
            pytest.fail(f"ended with {await call.code()}")

    error = run(scenario())

    detail = error_detail(error)
    assert (error.code(), detail.code) == (status, code)
    if code is EndCode.MODEL_ERROR:
        assert (error.details(), detail.close_code) == ("Internal Server Error (in model/chainlet).", 1011)
    if code is EndCode.MODEL_CLOSED:
        assert (error.details(), detail.close_code) == ("mine", 4001)


@pytest.mark.parametrize("do", ["echo", "hold"])
def test_cancelled_call_is_told_to_the_handler(platform: Platform, prover: Prover, do: str) -> None:
    case = f"cancelled {do}"

    async def scenario() -> None:
        async with stub(platform) as service:
            call = service.Stream(metadata=BY_NAME)
            await call.write(order(do, case))
            if do == "echo":
                await call.write(request("hello"))
            await call.read()
            call.cancel()

    run(scenario())

    (note,) = prover.wait_notes(case)
    assert note["what"] == {"echo": "disconnect", "hold": "cancelled"}[do]


def test_model_is_described(platform: Platform) -> None:
    async def scenario() -> inference_pb2.GetModelResponse:
        async with stub(platform) as service:
            return await service.GetModel(inference_pb2.GetModelRequest(), metadata=BY_NAME)

    described = run(scenario())

    (deployment,) = platform.ready["deployments"]
    assert (described.name, described.deployment_id, described.ready_replicas) == ("prover", deployment["id"], 1)
    assert list(described.environments) == ["production"]


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_served(platform: Platform, service: str) -> None:
    with grpc.insecure_channel(platform.grpc) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services_and_knows_their_messages(platform: Platform) -> None:
    asked: list[Message] = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    with grpc.insecure_channel(platform.grpc) as channel:
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed, file = reflection.ServerReflectionInfo(iter(asked), timeout=10)

    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    assert any(b"StreamRequest" in part for part in file.file_descriptor_response.file_descriptor_proto)
