from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from fastapi import WebSocket

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.stream import Closing, TrunkStream
from penstock.truss.settings import PenstockSettings
from penstock_edge import trunks as trunks_module
from penstock_edge.opening import Opening
from penstock_edge.trunks import Trunk, Trunks
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.server import RunnerServer

LIMIT_S = 20.0
REQUEST = trunk_pb2.OpenStream(stream_id="s", deployment_id="d1", message_bytes_max=1000)


class Notes:
    """An opening and a sink that note what they are told, and wake whoever waits."""

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

    def trunk_ready(self) -> None:
        self.note("ready")

    def trunk_failed(self) -> None:
        self.note("failed")

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


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@asynccontextmanager
async def runner() -> AsyncIterator[tuple[RunnerServer, str]]:
    server = RunnerServer(replica_id="r1", deployment_id="d1", settings=PenstockSettings(), on_change=lambda: None)
    address = await server.start("127.0.0.1:0")
    server.set_model(LoadedModel(object(), echo, Path(__file__)))
    try:
        yield server, address
    finally:
        await server.stop(0)


@asynccontextmanager
async def pool() -> AsyncIterator[tuple[Trunks, Notes]]:
    notes = Notes()
    made = Trunks("edge-1", after_batch=notes.news.set, on_go_away=lambda replica: notes.note(f"away {replica}"))
    try:
        yield made, notes
    finally:
        await made.stop()
        assert made._all == set() and made._trunks == {}


async def ready(trunk: Trunk, notes: Notes) -> None:
    trunk.openings[cast(Opening, notes)] = None
    await notes.until(lambda: "ready" in notes.events)


async def opened(trunk: Trunk, notes: Notes) -> TrunkStream:
    stream = trunk.open(REQUEST)
    assert stream is not None
    stream.sink = notes
    await notes.until(lambda: "accepted" in notes.events)
    return stream


def test_streams_pass_over_a_real_connection() -> None:
    async def main() -> None:
        async with runner() as (_, address), pool() as (trunks, notes):
            trunk = trunks.get("r1", address)
            assert not trunk.is_ready and trunk.open(REQUEST) is None
            await ready(trunk, notes)
            assert trunk.is_ready and trunk.openings == {}

            stream = await opened(trunk, notes)
            assert trunk.stream_count == 1
            stream.send(Kind.TEXT, b"hello")
            await notes.until(lambda: "hello" in notes.events)
            stream.close(EndCode.CLIENT_CLOSED, 1000)
            await notes.until(lambda: "closed COMPLETED 1000" in notes.events)
            assert trunk.stream_count == 0

    asyncio.run(main())


def test_there_is_one_trunk_per_replica_and_address() -> None:
    async def main() -> None:
        async with runner() as (_, address), runner() as (_, other), pool() as (trunks, _):
            trunk = trunks.get("r1", address)
            assert trunks.get("r1", address) is trunk
            assert trunks.get("r1", other) is not trunk

    asyncio.run(main())


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_nobody_at_the_address_fails_who_waits_and_the_next_try_dials_again() -> None:
    async def main() -> None:
        async with pool() as (trunks, notes):
            address = f"127.0.0.1:{free_port()}"
            trunk = trunks.get("r1", address)
            trunk.openings[cast(Opening, notes)] = None
            await notes.until(lambda: notes.events == ["failed"])
            assert trunks.get("r1", address) is not trunk

    asyncio.run(main())


def test_those_who_wait_for_a_trunk_are_told_in_the_order_of_their_coming() -> None:
    async def main() -> None:
        async with runner() as (_, address), pool() as (trunks, notes):
            told: list[Notes] = []

            class Waiting(Notes):
                def trunk_ready(self) -> None:
                    told.append(self)
                    notes.news.set()

            waiting = [Waiting() for _ in range(50)]
            trunk = trunks.get("r1", address)
            for one in waiting:
                trunk.openings[cast(Opening, one)] = None
            await notes.until(lambda: bool(told))

            assert told == waiting

    asyncio.run(main())


def test_a_process_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunks_module, "DIAL_TIMEOUT_S", 0.1)

    async def main() -> None:
        connections: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
        async with server, pool() as (trunks, notes):
            host, port = server.sockets[0].getsockname()
            trunks.get("r1", f"{host}:{port}").openings[cast(Opening, notes)] = None
            await notes.until(lambda: notes.events == ["failed"])
        for writer in connections:
            writer.close()

    asyncio.run(main())


def test_the_end_of_the_runner_is_told_to_every_stream() -> None:
    async def main() -> None:
        async with runner() as (server, address), pool() as (trunks, notes):
            trunk = trunks.get("r1", address)
            await ready(trunk, notes)
            stream = await opened(trunk, notes)
            assert server._server is not None
            await server._server.stop(0)
            await notes.until(lambda: "closed REPLICA_LOST 1014" in notes.events)
            assert stream.is_remote_closed
            assert not trunk.is_ready and trunk.open(REQUEST) is None

    asyncio.run(main())


def test_a_trunk_whose_writer_fails_ends_instead_of_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with runner() as (_, address), pool() as (trunks, notes):
            trunk = trunks.get("r1", address)
            await ready(trunk, notes)
            stream = await opened(trunk, notes)

            def fail() -> bytes:
                raise ValueError("a defect")

            assert trunk._endpoint is not None
            monkeypatch.setattr(trunk._endpoint, "take_batch", fail)
            stream.send(Kind.TEXT, b"x")

            await notes.until(lambda: "closed REPLICA_LOST 1014" in notes.events)

    asyncio.run(main())


def test_a_runner_that_drains_is_told_by_its_id() -> None:
    async def main() -> None:
        async with runner() as (server, address), pool() as (trunks, notes):
            await ready(trunks.get("r1", address), notes)
            server.begin_drain(if_idle=False)
            await notes.until(lambda: "away r1" in notes.events)

    asyncio.run(main())


def test_a_trunk_is_dropped_only_when_no_stream_is_on_it() -> None:
    async def main() -> None:
        async with runner() as (_, address), pool() as (trunks, notes):
            trunk = trunks.get("r1", address)
            await ready(trunk, notes)
            stream = await opened(trunk, notes)
            trunks.drop_idle("r1")
            trunks.drop_idle("unknown")
            stream.send(Kind.TEXT, b"still here")
            await notes.until(lambda: "still here" in notes.events)
            stream.close(EndCode.CLIENT_CLOSED, 1000)
            await notes.until(lambda: trunk.stream_count == 0)

            trunks.drop_idle("r1")
            await trunk.wait_ended()

            assert trunks.get("r1", address) is not trunk

    asyncio.run(main())


def test_the_edges_own_stop_is_told_to_every_stream() -> None:
    async def main() -> None:
        async with runner() as (_, address):
            async with pool() as (trunks, notes):
                trunk = trunks.get("r1", address)
                await ready(trunk, notes)
                await opened(trunk, notes)
            assert "closed REPLICA_LOST 1014" in notes.events

    asyncio.run(main())
