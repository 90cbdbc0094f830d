"""Who waits for a trunk, owns it and takes what its streams bring, in one; and a runner to talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import WebSocket

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.connection import Trunk
from penstock.trunk.stream import Closing, TrunkStream
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.server import RunnerServer

LIMIT_S = 20.0
REQUEST = trunk_pb2.OpenStream(stream_id="s", deployment_id="d1", message_bytes_max=1000)


class Notes:
    """Notes what it is told, and wakes whoever waits."""

    trunk_name = "edge-1"

    def __init__(self) -> None:
        self.events: list[str] = []
        self.news = asyncio.Event()

    def note(self, event: str) -> None:
        self.events.append(event)
        self.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.news.clear()
                await self.news.wait()

    # As the owner of a trunk

    def after_batch(self) -> None:
        self.news.set()

    def trunk_go_away(self, trunk: Trunk, reason: str) -> None:
        self.note(f"away {trunk.peer_id} {reason}")

    def trunk_ended(self, trunk: Trunk, detail: str, streams: int, *, was_ready: bool) -> None:
        self.note(f"ended {trunk.peer_id} {streams} {was_ready}")

    # As one who waits for it

    def trunk_ready(self) -> None:
        self.note("ready")

    def trunk_failed(self) -> None:
        self.note("failed")

    # As a sink

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        self.note("accepted")

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        self.note(f"rejected {reject.code}")

    def on_segment(self, kind: int, data: bytes) -> None:
        self.note(data.decode())

    def on_close(self, closing: Closing) -> None:
        self.note(f"closed {closing.code} {closing.close_code}")

    def on_writable(self) -> None:
        pass


async def ready(trunk: Trunk, notes: Notes) -> None:
    trunk.waiters[notes] = None
    await notes.until(lambda: "ready" in notes.events)


async def opened(trunk: Trunk, notes: Notes) -> TrunkStream:
    stream = trunk.open(REQUEST)
    assert stream is not None
    stream.sink = notes
    await notes.until(lambda: "accepted" in notes.events)
    return stream


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@asynccontextmanager
async def echo_runner() -> AsyncIterator[tuple[RunnerServer, str]]:
    """A runner's server that repeats every message; yields it and its address."""
    server = RunnerServer(replica_id="r1", deployment_id="d1", settings=PenstockSettings(), on_change=lambda: None)
    address = await server.start("127.0.0.1:0")
    server.set_model(LoadedModel(object(), echo, Path(__file__)))
    try:
        yield server, address
    finally:
        await server.stop(0)
