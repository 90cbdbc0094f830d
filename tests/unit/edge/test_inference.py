from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from penstock.api.inference.v1 import inference_pb2
from penstock.close_codes import EndCode
from penstock_edge.inference import SERVICE, InferenceServer
from penstock_testing.grpc_edge import failure, serving


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


def test_health_and_reflection_are_served() -> None:
    async def main() -> None:
        async with serving() as bench:
            health: Any = health_pb2_grpc.HealthStub(bench.channel)
            for service in ("", SERVICE):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(bench.channel)  # type: ignore[arg-type]  # stubs: sync
            call = stub.ServerReflectionInfo()
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


def test_a_stop_tells_every_call_why_it_ends() -> None:
    async def main() -> None:
        async with serving() as bench:
            opened, side = await bench.opened()
            bench.kit.apply(("r1", 10, 10))
            waiting = bench.call()
            await bench.until(lambda: bench.kit.plane.waiting.has("echo-1"))

            stopping = asyncio.create_task(bench.server.stop())
            for call in (opened, waiting):
                status, message, detail = await failure(call)
                assert (status, detail.code) == (grpc.StatusCode.UNAVAILABLE, EndCode.EDGE_DRAINING)
                assert message == "Edge is stopping; connect again."
            assert ("retry-after", "1") in list(await waiting.trailing_metadata())
            await stopping
            await bench.until(lambda: side.closing is not None)
            assert side.closing is not None and side.closing.code is EndCode.EDGE_DRAINING
            side.close()
            assert not bench.kit.plane.waiting.has("echo-1")
            assert bench.server.calls == set()
            assert bench.kit.plane.active_streams == 0

    asyncio.run(main())
