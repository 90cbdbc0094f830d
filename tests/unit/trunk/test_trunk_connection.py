from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.close_codes import EndCode
from penstock.trunk import connection
from penstock.trunk.batch import Kind
from penstock.trunk.connection import Trunk
from penstock_testing.trunk_notes import REQUEST, Notes, echo_runner, opened, ready


@asynccontextmanager
async def dialled(address: str) -> AsyncIterator[tuple[Trunk, Notes]]:
    notes = Notes()
    trunk = Trunk(notes, "r1", address)
    try:
        yield trunk, notes
    finally:
        trunk.stop()
        await trunk.wait_ended()
        assert notes.events[-1].startswith(("ended", "failed", "closed"))
        assert len([event for event in notes.events if event.startswith("ended")]) == 1


def test_streams_pass_over_a_real_connection() -> None:
    async def main() -> None:
        async with echo_runner() as (_, address), dialled(address) as (trunk, notes):
            assert not trunk.is_ready and trunk.open(REQUEST) is None
            await ready(trunk, notes)
            assert trunk.is_ready and trunk.waiters == {}

            stream = await opened(trunk, notes)
            assert trunk.stream_count == 1
            stream.send(Kind.TEXT, b"hello")
            await notes.until(lambda: "hello" in notes.events)
            stream.close(EndCode.CLIENT_CLOSED, 1000)
            await notes.until(lambda: "closed COMPLETED 1000" in notes.events)
            assert trunk.stream_count == 0

    asyncio.run(main())


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def test_nobody_at_the_address_fails_who_waits() -> None:
    async def main() -> None:
        async with dialled(f"127.0.0.1:{free_port()}") as (trunk, notes):
            trunk.waiters[notes] = None
            await notes.until(lambda: notes.events == ["ended r1 0 False", "failed"])

    asyncio.run(main())


def test_those_who_wait_for_a_trunk_are_told_in_the_order_of_their_coming() -> None:
    async def main() -> None:
        async with echo_runner() as (_, address), dialled(address) as (trunk, notes):
            told: list[Notes] = []

            class Waiting(Notes):
                def trunk_ready(self) -> None:
                    told.append(self)
                    notes.news.set()

            waiting = [Waiting() for _ in range(50)]
            for one in waiting:
                trunk.waiters[one] = None
            await notes.until(lambda: bool(told))

            assert told == waiting

    asyncio.run(main())


def test_a_process_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "DIAL_TIMEOUT_S", 0.1)

    async def main() -> None:
        connections: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server, dialled(f"{host}:{port}") as (trunk, notes):
            trunk.waiters[notes] = None
            await notes.until(lambda: "failed" in notes.events)
        for writer in connections:
            writer.close()

    asyncio.run(main())


def test_the_end_of_the_peer_is_told_to_every_stream() -> None:
    async def main() -> None:
        async with echo_runner() as (server, address), dialled(address) as (trunk, notes):
            await ready(trunk, notes)
            stream = await opened(trunk, notes)
            assert server._server is not None
            await server._server.stop(0)
            await notes.until(lambda: "closed REPLICA_LOST 1014" in notes.events)
            assert "ended r1 1 True" in notes.events
            assert stream.is_remote_closed
            assert not trunk.is_ready and trunk.open(REQUEST) is None

    asyncio.run(main())


def test_a_trunk_whose_writer_fails_ends_instead_of_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with echo_runner() as (_, address), dialled(address) as (trunk, notes):
            await ready(trunk, notes)
            stream = await opened(trunk, notes)

            def fail() -> bytes:
                raise ValueError("a defect")

            assert trunk._endpoint is not None
            monkeypatch.setattr(trunk._endpoint, "take_batch", fail)
            stream.send(Kind.TEXT, b"x")

            await notes.until(lambda: "closed REPLICA_LOST 1014" in notes.events)

    asyncio.run(main())


def test_a_peer_that_drains_is_told_of() -> None:
    async def main() -> None:
        async with echo_runner() as (server, address), dialled(address) as (trunk, notes):
            await ready(trunk, notes)
            server.begin_drain(if_idle=False)
            await notes.until(lambda: "away r1 draining" in notes.events)

    asyncio.run(main())


def test_a_trunk_that_is_stopped_before_its_first_step_ends_too() -> None:
    async def main() -> None:
        notes = Notes()
        trunk = Trunk(notes, "r1", "127.0.0.1:1")
        trunk.stop()
        await trunk.wait_ended()
        await notes.until(lambda: notes.events == ["ended r1 0 False"])

    asyncio.run(main())
