from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.trunks import Trunks
from penstock_testing.trunk_notes import Notes, echo_runner, opened, ready


@asynccontextmanager
async def pool() -> AsyncIterator[tuple[Trunks, Notes]]:
    notes = Notes()
    made = Trunks("edge-1", after_batch=notes.news.set, on_go_away=lambda replica: notes.note(f"away {replica}"))
    try:
        yield made, notes
    finally:
        await made.stop()
        assert made._all == set() and made._trunks == {}


def test_there_is_one_trunk_per_replica_and_address() -> None:
    async def main() -> None:
        async with echo_runner() as (_, address), echo_runner() as (_, other), pool() as (trunks, _):
            trunk = trunks.get("r1", address)
            assert trunks.get("r1", address) is trunk
            assert trunks.get("r1", other) is not trunk

    asyncio.run(main())


def test_a_trunk_that_ended_is_logged_and_the_next_try_dials_again() -> None:
    async def main() -> None:
        async with echo_runner() as (server, address), pool() as (trunks, notes):
            trunk = trunks.get("r1", address)
            await ready(trunk, notes)
            await opened(trunk, notes)
            assert server._server is not None
            with structlog.testing.capture_logs() as logs:
                await server._server.stop(0)
                await notes.until(lambda: "closed REPLICA_LOST 1014" in notes.events)
            lost = [(entry["replica"], entry["streams"]) for entry in logs if entry["event"] == "trunk_lost"]
            assert lost == [("r1", 1)]
            assert trunks.get("r1", address) is not trunk

    asyncio.run(main())


def test_a_runner_that_drains_is_told_by_its_id() -> None:
    async def main() -> None:
        async with echo_runner() as (server, address), pool() as (trunks, notes):
            await ready(trunks.get("r1", address), notes)
            server.begin_drain(if_idle=False)
            await notes.until(lambda: "away r1" in notes.events)

    asyncio.run(main())


def test_a_trunk_is_dropped_only_when_no_stream_is_on_it() -> None:
    async def main() -> None:
        async with echo_runner() as (_, address), pool() as (trunks, notes):
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
        async with echo_runner() as (_, address):
            async with pool() as (trunks, notes):
                trunk = trunks.get("r1", address)
                await ready(trunk, notes)
                await opened(trunk, notes)
            assert "closed REPLICA_LOST 1014" in notes.events

    asyncio.run(main())
