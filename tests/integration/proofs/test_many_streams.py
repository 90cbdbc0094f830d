"""Thousands of streams at once, and thousands more one after another, leave nothing behind."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import Callable

import pytest

from penstock_testing.churn import Churn, Ending
from penstock_testing.counts import times
from penstock_testing.figures import MIB, show
from penstock_testing.platform import Platform
from penstock_testing.process_usage import Usage, usage
from penstock_testing.prover import answer, ordered, run
from penstock_testing.raw_websocket import BINARY, CLOSE, TEXT, RawWebSocket, close_payload, frame, raw_websocket
from penstock_testing.static_platform import wait_until

STREAMS = 2000
OPENING_AT_ONCE = 100

WARM_CYCLES = 3_000
CYCLES = times(10_000, 20_000)
SIDE_BY_SIDE = 100

RESIDENT_GROWTH_MAX = 4 * MIB
SETTLE_SECONDS = 20.0


def gauge(platform: Platform, name: str) -> float:
    """The sum of a metric of the edge over all labels."""
    with urllib.request.urlopen(f"{platform.http}/metrics", timeout=10) as metrics:
        samples = metrics.read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", samples, flags=re.MULTILINE))


def open_connections(platform: Platform) -> float:
    return gauge(platform, "baseten_ongoing_websocket_connections")


async def exchange(client: RawWebSocket, number: int, turn: int) -> None:
    """One text and one binary message that no other stream sends."""
    text, binary = f"stream {number}, turn {turn}: ünï ☃", number.to_bytes(4) * (1 + number % 300)
    await client.send(frame(TEXT, text.encode()) + frame(BINARY, binary))
    assert await client.message() == text
    assert await client.message() == binary


def test_2000_streams_open_exchange_and_close_side_by_side(platform: Platform, url: str) -> None:
    path = "".join(url.partition("/model")[1:])
    peak = 0.0

    async def stream(number: int, gate: asyncio.Semaphore, everyone: asyncio.Barrier) -> None:
        async with raw_websocket(platform.http.removeprefix("http://")) as client:
            client.answers_pings = True
            async with gate:
                await client.upgraded(path)
                await client.send(frame(TEXT, b'{"do": "echo"}'))
                await exchange(client, number, 1)
            await everyone.wait()
            # The one who counts has looked.
            await everyone.wait()
            async with gate:
                await exchange(client, number, 2)
                await client.send(frame(CLOSE, close_payload(4000, b"done")))
                close = await client.frame()
                assert (close.opcode, close.close_code, close.close_reason) == (CLOSE, 4000, "done")
                with pytest.raises(EOFError):
                    await client.frame()

    async def count(everyone: asyncio.Barrier) -> None:
        nonlocal peak
        await everyone.wait()
        show("2,000 streams are open", seconds=time.monotonic() - started)
        peak = await asyncio.to_thread(open_connections, platform)
        await asyncio.to_thread(
            wait_until, lambda: platform.active_streams() == STREAMS, SETTLE_SECONDS, "the controller counts them all"
        )
        await everyone.wait()

    async def all_streams() -> None:
        gate, everyone = asyncio.Semaphore(OPENING_AT_ONCE), asyncio.Barrier(STREAMS + 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(count(everyone))
            for number in range(STREAMS):
                group.create_task(stream(number, gate, everyone))

    started = time.monotonic()
    run(all_streams())

    show("2,000 streams opened, exchanged twice and closed", seconds=time.monotonic() - started)
    assert peak == STREAMS
    wait_until(lambda: open_connections(platform) == 0, SETTLE_SECONDS, "the edge counts no stream")
    wait_until(lambda: platform.active_streams() == 0, SETTLE_SECONDS, "every slot is free")


def runner_tasks(url: str) -> int:
    """Tasks on the runner's loop, this stream's own included."""

    async def ask() -> int:
        async with ordered(url, "facts") as facts:
            await facts.send("?")
            return int((await answer(facts))["tasks"])

    return run(ask())


def settled(what: Callable[[], Usage], descriptors: int) -> Usage:
    """The usage of a process once it holds no more descriptors than `descriptors`."""
    wait_until(lambda: what().descriptors <= descriptors, SETTLE_SECONDS, f"no more than {descriptors} descriptors")
    return what()


def test_thousands_of_cycles_leak_no_descriptor_no_task_and_no_memory(platform: Platform, url: str) -> None:
    (edge,), (runner,) = platform.pids("edge"), platform.pids("runner")
    wait_until(lambda: runner_tasks(url) > 0, SETTLE_SECONDS, "the platform answers")
    at_start = {pid: usage(pid) for pid in (edge, runner)}
    tasks_at_start = runner_tasks(url)
    churn = Churn(url)

    run(churn.run(WARM_CYCLES, SIDE_BY_SIDE))
    wait_until(lambda: platform.active_streams() == 0, SETTLE_SECONDS, "every slot is free")
    warm = {pid: usage(pid) for pid in (edge, runner)}
    started = time.monotonic()
    run(churn.run(CYCLES - WARM_CYCLES, SIDE_BY_SIDE))
    taken_s = time.monotonic() - started
    wait_until(lambda: platform.active_streams() == 0, SETTLE_SECONDS, "every slot is free")
    wait_until(lambda: open_connections(platform) == 0, SETTLE_SECONDS, "the edge counts no stream")

    assert churn.ended == {ending: CYCLES // len(Ending) for ending in Ending}
    show("cycles of a stream", per_s=(CYCLES - WARM_CYCLES) / taken_s)
    for name, pid in (("edge", edge), ("runner", runner)):
        end = settled(lambda pid=pid: usage(pid), at_start[pid].descriptors)  # type: ignore[misc]  # bound default
        growth = end.resident - warm[pid].resident
        show(
            f"{name} after {CYCLES:,} cycles",
            descriptors_at_start=at_start[pid].descriptors,
            descriptors_at_end=end.descriptors,
            threads_at_start=at_start[pid].threads,
            threads_at_end=end.threads,
            resident_at_start_mib=at_start[pid].resident / MIB,
            resident_warm_mib=warm[pid].resident / MIB,
            resident_at_end_mib=end.resident / MIB,
        )
        assert growth < RESIDENT_GROWTH_MAX
        # The pool of gRPC adds one when the machine is so busy that its threads fall behind.
        assert end.threads <= warm[pid].threads + 2
    tasks_at_end = runner_tasks(url)
    show("tasks of the runner", at_start=tasks_at_start, at_end=tasks_at_end)
    assert tasks_at_end == tasks_at_start
