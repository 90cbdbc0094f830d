from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.connection import Trunk
from penstock_edge.inner_server import OPENING_BYTES_MAX
from penstock_edge.request_call import BODY_PART_BYTES_MAX
from penstock_testing.chain_calls_kit import CALLEE, Edge, until
from penstock_testing.trunk_notes import Notes, ready


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Edge, Trunk, Notes]]:
    """An edge whose table has CALLEE without a replica, and the trunk of a caller."""
    edge, notes = Edge("edge-1"), Notes()
    await edge.start()
    edge.apply({})
    trunk = Trunk(notes, "edge-1", edge.address)
    try:
        await ready(trunk, notes)
        yield edge, trunk, notes
    finally:
        trunk.stop()
        await trunk.wait_ended()
        await edge.stop()


def refused(edge: Edge, *labels: str) -> float:
    return float(edge.plane.metrics.refused.labels(*labels)._value.get())


async def ask(
    trunk: Trunk, notes: Notes, deployment_id: str, body: bytes = b"", headers: Sequence[common_pb2.Header] = ()
) -> str:
    """Asks for a stream; returns the code of the refusal."""
    request = trunk_pb2.OpenStream(
        stream_id="s", deployment_id=deployment_id, transport=trunk_pb2.TRANSPORT_HTTP, body=body, headers=headers
    )
    stream = trunk.open(request)
    assert stream is not None
    before = len(notes.events)
    stream.sink = notes
    await notes.until(lambda: len(notes.events) > before)
    return notes.events[-1].removeprefix("rejected ")


def test_what_is_asked_for_wrongly_is_refused_and_counted() -> None:
    async def main() -> None:
        async with connected() as (edge, trunk, notes):
            assert await ask(trunk, notes, "unknown") == "NOT_FOUND"
            assert await ask(trunk, notes, CALLEE, bytes(BODY_PART_BYTES_MAX + 1)) == "MESSAGE_TOO_BIG"
            edge.server.close_admission()
            assert await ask(trunk, notes, CALLEE) == "EDGE_DRAINING"

            assert refused(edge, "", "NOT_FOUND", "404") == 1
            assert refused(edge, "chain.Callee", "MESSAGE_TOO_BIG", "413") == 1
            assert refused(edge, "chain.Callee", "EDGE_DRAINING", "503") == 1
            assert edge.server.streams == set()

    asyncio.run(main())


def test_a_stream_that_waits_for_a_slot_is_refused_when_the_edge_stops() -> None:
    async def main() -> None:
        async with connected() as (edge, trunk, notes):
            asking = asyncio.create_task(ask(trunk, notes, CALLEE))
            await until(lambda: edge.plane.waiting.has(CALLEE), "it waits")
            assert len(edge.server.streams) == 1

            stopping = asyncio.create_task(edge.server.stop())

            assert await asking == "EDGE_DRAINING"
            await stopping
            assert edge.server.streams == set()

    asyncio.run(main())


def test_callers_that_come_while_the_edge_drains_are_asked_to_go_elsewhere_too() -> None:
    async def main() -> None:
        async with connected() as (edge, _, notes):
            edge.plane.is_draining = True
            edge.server.begin_drain()
            await notes.until(lambda: "away edge-1 draining" in notes.events)

            late = Notes()
            trunk = Trunk(late, "edge-1", edge.address)
            await late.until(lambda: "away edge-1 draining" in late.events)
            trunk.stop()
            await trunk.wait_ended()

    asyncio.run(main())


def test_the_end_of_a_caller_is_logged_with_its_name() -> None:
    async def main() -> None:
        async with connected() as (edge, trunk, _):
            with structlog.testing.capture_logs() as logs:
                trunk.stop()
                await until(lambda: not edge.server._endpoints, "the trunk is over")
            assert [entry["caller"] for entry in logs if entry["event"] == "caller_trunk_ended"] == ["edge-1"]

    asyncio.run(main())


def test_an_opening_that_would_end_the_trunk_of_the_callee_is_refused() -> None:
    async def main() -> None:
        async with connected() as (edge, trunk, notes):
            large = common_pb2.Header(name="x", value=bytes(OPENING_BYTES_MAX))

            assert await ask(trunk, notes, CALLEE, headers=[large]) == "MESSAGE_TOO_BIG"

            assert edge.server.streams == set()

    asyncio.run(main())
