"""The client's options, and what it refuses before anything is sent."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from websockets.asyncio.server import ServerConnection, serve

from penstock import Client, PenstockError
from penstock.api.inference.v1 import inference_pb2_grpc as pb_grpc
from penstock.client.client import OPEN_TIMEOUT_S
from penstock.truss import PenstockSettings
from penstock_testing.fake_edge import FakeInference, echo

openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


@pytest.mark.parametrize("option", ["open_timeout", "close_timeout", "message_bytes_max"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_is_positive(option: str, value: int) -> None:
    options: dict[str, Any] = {option: value}

    with pytest.raises(ValueError, match=f"{option} must be positive"):
        Client("ws://localhost:8000", **options)


def test_opening_may_take_longer_than_an_edge_lets_it_wait() -> None:
    settings = PenstockSettings()

    assert settings.queue_timeout_s + settings.handshake_timeout_s < OPEN_TIMEOUT_S


def test_an_authority_without_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an address with TLS"):
        Client("ws://localhost:8000", ca_file="ca.pem")


@pytest.mark.parametrize(
    ("url", "arguments", "advice"),
    [
        ("ws://localhost:8000", {"model": "echo", "path": "/ws"}, "either a path or a model"),
        ("ws://localhost:8000", {"path": "ws"}, "starts with '/'"),
        ("ws://localhost:8000", {"model": "a", "environment": "b", "deployment": "c"}, "not both"),
        ("grpc://localhost:9000", {"path": "/ws"}, "are for WebSocket"),
        ("grpc://localhost:9000", {"model": "echo", "subprotocols": ["a"]}, "are for WebSocket"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(url: str, arguments: dict[str, Any], advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        Client(url).stream(**arguments)


@pytest.mark.parametrize("url", ["ws://localhost:8000", "grpc://localhost:9000"])
def test_a_client_is_used_inside_of_its_block(url: str) -> None:
    async def run() -> None:
        with pytest.raises(RuntimeError, match="async with Client"):
            async with Client(url).stream("echo"):
                pytest.fail("the stream was opened")

    asyncio.run(run())


def test_a_client_can_be_used_again() -> None:
    async def accept(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def run() -> None:
        async with serve(accept, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            client = Client(f"ws://127.0.0.1:{port}")
            for _ in range(2):
                async with client, client.stream("any"):
                    pass

    asyncio.run(run())


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-out", chain, "-keyout", key], check=True, capture_output=True)
    return chain, key


@openssl
def test_tls_over_websocket_trusts_the_authority_that_is_named(certificate: tuple[Path, Path]) -> None:
    chain, key = certificate

    async def accept(connection: ServerConnection) -> None:
        await connection.send(await connection.recv())

    async def run() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        async with serve(accept, "localhost", 0, ssl=context) as server:
            url = f"wss://localhost:{next(iter(server.sockets)).getsockname()[1]}"
            async with Client(url, ca_file=chain) as client, client.stream("any") as stream:
                await stream.send("secret")
                assert await stream.recv() == "secret"
            async with Client(url) as client:
                with pytest.raises(PenstockError, match="certificate"):
                    async with client.stream("any"):
                        pytest.fail("an unknown authority was trusted")

    asyncio.run(run())


@openssl
def test_tls_over_grpc_trusts_the_authority_that_is_named(certificate: tuple[Path, Path]) -> None:
    chain, key = certificate

    async def run() -> None:
        server = aio.server()
        pb_grpc.add_InferenceServiceServicer_to_server(FakeInference({"echo": echo}, []), server)
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), chain.read_bytes())])
        port = server.add_secure_port("localhost:0", credentials)
        await server.start()
        async with Client(f"grpcs://localhost:{port}", ca_file=chain) as client, client.stream("echo") as stream:
            await stream.send("secret")
            assert await stream.recv() == "secret"
        async with Client(f"grpcs://localhost:{port}") as client:
            with pytest.raises(PenstockError, match="cannot connect"):
                async with client.stream("echo"):
                    pytest.fail("an unknown authority was trusted")
        await server.stop(0)

    asyncio.run(run())
