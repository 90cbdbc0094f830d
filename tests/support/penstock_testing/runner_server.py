"""A runner's server with real trunks over real connections, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from fastapi import WebSocket

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.pump import Writer, read_all
from penstock.trunk.served import TRUNK_SERVICE
from penstock.trunk.stream import Closing, TrunkStream
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.server import RunnerServer

LIMIT_S = 20.0


class Stream:
    """One stream of the edge, with a way to wait for what comes."""

    def __init__(self, stream: TrunkStream) -> None:
        self.stream = stream
        self.is_accepted = False
        self.rejected: str | None = None
        self.messages: list[bytes] = []
        self.closing: Closing | None = None

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        self.is_accepted = True

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        self.rejected = reject.code

    def on_segment(self, kind: int, data: bytes) -> None:
        self.messages.append(data)
        self.stream.consumed(len(data))

    def on_close(self, closing: Closing) -> None:
        self.closing = closing

    def on_writable(self) -> None:
        pass


class Edge:
    """A real trunk over a real connection."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.writer = Writer()
        self.went_away: list[str] = []
        self.news = asyncio.Event()
        self.endpoint = Endpoint(Role.EDGE, "edge", on_output=self.writer.wake, on_go_away=self.went_away.append)
        self.tasks = [
            asyncio.create_task(self.writer.run(call, self.endpoint)),
            asyncio.create_task(read_all(call, self.endpoint, self.news.set)),
        ]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def open(self, deployment_id: str = "d1") -> Stream:
        await self.until(lambda: self.endpoint.peer_name is not None)
        request = trunk_pb2.OpenStream(stream_id="s1", deployment_id=deployment_id, message_bytes_max=1000)
        stream = Stream(self.endpoint.open(request))
        stream.stream.sink = stream
        await self.until(lambda: stream.is_accepted or stream.rejected is not None)
        return stream

    async def end(self) -> None:
        self.call.cancel()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Bench:
    def __init__(self, server: RunnerServer, address: str, channel: grpc.aio.Channel) -> None:
        self.server = server
        self.address = address
        self.channel = channel
        self.edges: list[Edge] = []

    def edge(self) -> Edge:
        connect: Any = self.channel.stream_stream(f"/{TRUNK_SERVICE}/Connect", None, None)
        self.edges.append(Edge(connect()))
        return self.edges[-1]


class Changes:
    """Counts changes, and lets a test wait for what they bring."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.listener: Callable[[], None] = lambda: None
        """Called on every change, too."""

    def tell(self) -> None:
        self.event.set()
        self.listener()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.event.clear()
                await self.event.wait()


@asynccontextmanager
async def serving(
    handler: Callable[[WebSocket], Awaitable[None]] | None, slots: int = 10
) -> AsyncIterator[tuple[Bench, Changes]]:
    changes = Changes()
    server = RunnerServer(
        replica_id="r1",
        deployment_id="d1",
        settings=PenstockSettings(max_concurrency=slots),
        on_change=changes.tell,
    )
    address = await server.start("127.0.0.1:0")
    if handler is not None:
        server.set_model(LoadedModel(object(), handler, Path(__file__)))
    async with grpc.aio.insecure_channel(address) as channel:
        bench = Bench(server, address, channel)
        try:
            yield bench, changes
        finally:
            for edge in bench.edges:
                await edge.end()
            await server.stop(0)
