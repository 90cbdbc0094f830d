from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from penstock_controller.service import SERVICES, AddressError, ControllerServer, is_local
from penstock_testing.controller_parts import served_controller


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("unix:/x", True),
        ("127.0.0.1:0", True),
        ("localhost:80", True),
        ("[::1]:80", True),
        ("0.0.0.0:80", False),
        ("10.0.0.1:80", False),
        ("example.org:80", False),
    ],
)
def test_only_this_machine_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local


@pytest.mark.parametrize("address", ["", "80", ":80", "host:", "host:port", "host:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(AddressError, match="--listen"):
        is_local(address)


def test_port_zero_is_replaced_by_the_one_that_was_chosen() -> None:
    async def scenario() -> None:
        server = ControllerServer("127.0.0.1:0")
        host, _, port = server.address.partition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        await server.start()
        try:
            with pytest.raises(AddressError, match="in use"):
                ControllerServer(server.address)
        finally:
            await server.stop(0)

    asyncio.run(scenario())


def test_health_and_reflection_know_every_service(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (_, address), grpc.aio.insecure_channel(address) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            for name in ("", *SERVICES):
                answer = await check(health_pb2.HealthCheckRequest(service=name), timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            reflect = channel.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            call = reflect(timeout=10)
            await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            response = await call.read()
            assert isinstance(response, reflection_pb2.ServerReflectionResponse)
            listed = {service.name for service in response.list_services_response.service}
            assert set(SERVICES) < listed
            call.cancel()

    asyncio.run(scenario())
