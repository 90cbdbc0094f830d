"""A client that stops reading, or a model that does, stops its own stream and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from penstock_testing.cadence import cadence
from penstock_testing.figures import MIB, percentile, show
from penstock_testing.platform import Platform
from penstock_testing.process_usage import peak_resident, reset_peak, usage
from penstock_testing.prover import answer, ordered, run
from penstock_testing.raw_websocket import BINARY, TEXT, RawWebSocket, frame, raw_websocket

COUNT = 10_000
SIZE = 4096
"""10,000 messages of 4 KiB: 40 MiB, far more than every buffer on the way."""

GROWTH_MAX = 16 * MIB

STUCK_SECONDS = 1.0
"""What has not moved for so long is stuck."""


class Memory:
    """How much the edge and the runner have grown since this was made."""

    def __init__(self, platform: Platform) -> None:
        self._pids = {kind: platform.pids(kind)[0] for kind in ("edge", "runner")}
        self._before = {kind: usage(pid).resident for kind, pid in self._pids.items()}
        for pid in self._pids.values():
            reset_peak(pid)

    def growth(self) -> dict[str, int]:
        return {kind: peak_resident(pid) - self._before[kind] for kind, pid in self._pids.items()}


async def stuck_at(progress: Callable[[], Awaitable[int]]) -> int:
    """The value of `progress` when it has not moved for STUCK_SECONDS."""
    value, since = await progress(), time.monotonic()
    async with asyncio.timeout(30):
        while time.monotonic() - since < STUCK_SECONDS:
            fresh = await progress()
            if fresh != value:
                value, since = fresh, time.monotonic()
    return value


def numbered(number: int) -> bytes:
    return number.to_bytes(4) * (SIZE // 4)


async def read_flood(client: RawWebSocket) -> None:
    for number in range(COUNT):
        received = await client.frame()
        assert received.payload == numbered(number)


def test_a_client_that_stops_reading_stops_its_own_stream_only(platform: Platform, url: str) -> None:
    path = url.partition("/model")[1:]

    async def scenario() -> tuple[int, dict[str, int]]:
        async with raw_websocket(platform.http.removeprefix("http://")) as client, ordered(url, "facts") as facts:

            async def sent() -> int:
                await facts.send("?")
                return int((await answer(facts)).get("flood", 0))

            await client.upgraded("".join(path))
            memory = Memory(platform)
            order = {"do": "flood", "case": "flood", "count": COUNT, "size": SIZE}
            await client.send(frame(TEXT, json.dumps(order).encode()))
            stuck = await stuck_at(sent)
            growth = memory.growth()
            await read_flood(client)
            assert (await client.frame()).close_code == 1000
            assert await sent() == COUNT
            return stuck, growth

    with cadence(url, '{"do": "echo"}') as figures:
        stuck, growth = run(scenario())

    show(
        "a client that does not read",
        messages_the_model_could_send=stuck,
        mib_the_model_could_send=stuck * SIZE / MIB,
        edge_growth_mib=growth["edge"] / MIB,
        runner_growth_mib=growth["runner"] / MIB,
        cadence_p50_ms=percentile(figures.latencies, 0.5),
        cadence_p99_ms=percentile(figures.latencies, 0.99),
    )
    assert 0 < stuck < COUNT
    assert max(growth.values()) < GROWTH_MAX
    assert (figures.missing, figures.closed) == (0, 0)


def test_a_model_that_stops_reading_stops_its_own_client_only(platform: Platform, url: str) -> None:
    path = url.partition("/model")[1:]
    written = 0

    async def send_all(client: RawWebSocket) -> None:
        nonlocal written
        for number in range(COUNT):
            await client.send(frame(BINARY, numbered(number)))
            written = number + 1
        await client.send(frame(TEXT, b"done"))

    async def so_far() -> int:
        await asyncio.sleep(0)
        return written

    async def scenario() -> tuple[int, dict[str, int], object]:
        async with raw_websocket(platform.http.removeprefix("http://")) as client:
            await client.upgraded("".join(path))
            await client.send(frame(TEXT, json.dumps({"do": "gated", "case": "gate"}).encode()))
            assert await client.message() == "closed"
            memory = Memory(platform)
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(send_all(client))
                stuck = await stuck_at(so_far)
                growth = memory.growth()
                assert not sending.done()
                async with ordered(url, "open_gate", "gate"):
                    pass
            return stuck, growth, json.loads(await client.message())

    with cadence(url, '{"do": "echo"}') as figures:
        stuck, growth, result = run(scenario())

    show(
        "a model that does not read",
        messages_the_client_could_send=stuck,
        mib_the_client_could_send=stuck * SIZE / MIB,
        edge_growth_mib=growth["edge"] / MIB,
        runner_growth_mib=growth["runner"] / MIB,
        cadence_p50_ms=percentile(figures.latencies, 0.5),
        cadence_p99_ms=percentile(figures.latencies, 0.99),
    )
    assert result == {"received": COUNT}
    assert 0 < stuck < COUNT
    assert max(growth.values()) < GROWTH_MAX
    assert (figures.missing, figures.closed) == (0, 0)
