from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from fastapi import WebSocket
from grpc_health.v1 import health_pb2, health_pb2_grpc
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from penstock.api.inference.v1 import inference_pb2_grpc
from penstock.chains.remote.caller import ChainCaller
from penstock.chains.remote.transport import Call, Transport
from penstock.close_codes import EndCode
from penstock.errors import PenstockError
from penstock.truss.settings import PenstockSettings
from penstock_edge.__main__ import bind
from penstock_edge.config import parse_arguments
from penstock_edge.server import serve
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.server import RunnerServer
from penstock_testing.chain_calls_kit import peers_of
from penstock_testing.grpc_edge import failure

LIMIT_S = 20.0
LISTEN = ["--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


class Edge:
    """An edge that runs in this process, in front of a real runner."""

    def __init__(self, serving: asyncio.Task[None], ready: dict[str, str], runner: RunnerServer) -> None:
        self.serving = serving
        self.http = ready["http"]
        self.grpc = ready["grpc"]
        self.inner = ready["inner"]
        self.runner = runner

    def client(self, path: str = "/model/echo/websocket") -> connect:
        return connect(f"ws://{self.http}{path}", proxy=None, compression=None)

    def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def edge(folder: Path, *arguments: str) -> AsyncIterator[Edge]:
    runner = RunnerServer(
        replica_id="echo-0", deployment_id="echo", settings=PenstockSettings(), on_change=lambda: None
    )
    address = await runner.start("127.0.0.1:0")
    runner.set_model(LoadedModel(object(), echo, Path(__file__)))
    ready = folder / "ready.json"
    config = parse_arguments([*LISTEN, "--static", f"echo={address}", "--ready-file", str(ready), *arguments])
    serving = asyncio.create_task(serve(config, bind(config)))
    try:
        async with asyncio.timeout(LIMIT_S):
            while not ready.exists():
                assert not serving.done(), serving.exception()
                await asyncio.sleep(0)
            yield Edge(serving, json.loads(ready.read_text()), runner)
            await serving
    finally:
        await runner.stop(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


async def closed(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code is not None and client.close_reason is not None
    return client.close_code, client.close_reason


async def refusal(served: Edge) -> InvalidStatus | None:
    try:
        async with served.client():
            return None
    except InvalidStatus as refused:
        return refused


def test_an_edge_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    async def main() -> None:
        async with edge(tmp_path) as served:
            async with served.client() as client:
                await client.send("hello")
                assert await client.recv() == "hello"
            async with grpc.aio.insecure_channel(served.grpc) as channel:
                health: Any = health_pb2_grpc.HealthStub(channel)
                answer = await health.Check(health_pb2.HealthCheckRequest())
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
            served.stop()

    run(main)


def test_a_drain_waits_for_open_streams_and_refuses_new_ones(tmp_path: Path) -> None:
    async def main() -> None:
        async with edge(tmp_path) as served, served.client() as client:
            await client.send("before")
            assert await client.recv() == "before"
            served.stop()
            while (refused := await refusal(served)) is None:
                pass
            assert refused.response.status_code == 503
            assert refused.response.headers["Retry-After"]
            await client.send("still served")
            assert await client.recv() == "still served"
            assert not served.serving.done()

    run(main)


def test_streams_that_outlast_the_drain_are_closed_with_1012(tmp_path: Path) -> None:
    async def main() -> None:
        async with edge(tmp_path, "--drain-timeout", "0") as served:
            clients = [await served.client() for _ in range(3)]
            served.stop()
            for client in clients:
                assert await closed(client) == (1012, "Edge is stopping; connect again.")

    run(main)


def test_calls_that_outlast_the_drain_end_with_the_cause_and_a_status(tmp_path: Path) -> None:
    async def main() -> None:
        async with edge(tmp_path, "--drain-timeout", "0") as served, grpc.aio.insecure_channel(served.grpc) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            calls = [stub.Stream(metadata=(("penstock-model", "echo"),)) for _ in range(3)]
            for call in calls:
                await call.initial_metadata()
            with structlog.testing.capture_logs() as logs:
                served.stop()
                for call in calls:
                    status, message, detail = await failure(call)
                    assert (status, detail.code) == (grpc.StatusCode.UNAVAILABLE, "EDGE_DRAINING")
                    assert (detail.close_code, message) == (1012, "Edge is stopping; connect again.")
            assert [entry["streams"] for entry in logs if entry["event"] == "edge_closing_streams"] == [3]

    run(main)


@asynccontextmanager
async def calling(served: Edge) -> AsyncIterator[Transport]:
    """The way of a chainlet to the model."""
    caller = ChainCaller("caller")
    caller.set_peers(peers_of([served.inner]))
    try:
        yield caller.transport("echo")
    finally:
        await caller.stop()


def test_conversations_of_chainlets_outlast_the_drain_no_more_than_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            edge(tmp_path, "--drain-timeout", "0") as served,
            calling(served) as transport,
            transport.converse(Call()) as conversation,
        ):
            served.stop()
            with pytest.raises(PenstockError) as caught:
                await conversation.receive()
            ended = caught.value
            assert (ended.code, ended.close_code) == (EndCode.EDGE_DRAINING, 1012)

    run(main)


def test_a_drain_waits_for_conversations_of_chainlets(tmp_path: Path) -> None:
    async def main() -> None:
        async with edge(tmp_path) as served, calling(served) as transport, transport.converse(Call()):
            served.stop()
            while await refusal(served) is None:
                pass
            assert not served.serving.done()

    run(main)


def test_an_address_for_runners_that_is_taken_ends_the_edge_with_a_clear_message() -> None:
    async def main() -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            address = "{}:{}".format(*held.getsockname())
            config = parse_arguments(
                ["--listen", "127.0.0.1:0", "--inner-listen", address, "--static", "echo=127.0.0.1:1"]
            )
            expected = f"edge: cannot listen on {address}.*--inner-listen"
            with bind(config) as listener, pytest.raises(SystemExit, match=expected):
                await serve(config, listener)

    run(main)


def test_a_grpc_address_that_is_taken_ends_the_edge_with_a_clear_message() -> None:
    async def main() -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            held.listen()
            address = "{}:{}".format(*held.getsockname())
            config = parse_arguments(
                ["--listen", "127.0.0.1:0", "--grpc-listen", address, "--static", "echo=127.0.0.1:1"]
            )
            expected = f"edge: cannot listen on {address}.*--grpc-listen"
            with bind(config) as listener, pytest.raises(SystemExit, match=expected):
                await serve(config, listener)

    run(main)
