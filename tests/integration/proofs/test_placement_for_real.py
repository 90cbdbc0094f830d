"""Streams are spread over replicas; those that find no slot wait, and are told so when they have waited in vain."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from penstock_testing.churn import Churn
from penstock_testing.figures import show
from penstock_testing.platform import Platform, running_platform
from penstock_testing.prover import answer, ordered, run, write_prover
from penstock_testing.static_platform import wait_until

STREAMS = 60

WAIT_SECONDS = 15.0


async def pid_of(stream: ClientConnection) -> int:
    await stream.send("?")
    return int((await answer(stream))["pid"])


def test_streams_are_spread_evenly_over_replicas(tmp_path: Path) -> None:
    prover = write_prover(tmp_path)

    async def scenario(platform: Platform) -> Counter[int]:
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(ordered(platform.websocket("prover"), "facts")) for _ in range(STREAMS)
            ]
            counts = Counter([await pid_of(stream) for stream in streams])
            await asyncio.to_thread(
                wait_until, lambda: reported(platform) == counts, WAIT_SECONDS, "the controller counts the same"
            )
            return counts

    def reported(platform: Platform) -> Counter[int]:
        return Counter({replica["pid"]: replica["streams"]["active"] for replica in platform.status()["replicas"]})

    with running_platform([prover.model_dir], replicas=2) as platform:
        counts = run(scenario(platform))

    show("60 streams on two replicas", most=max(counts.values()), least=min(counts.values()))
    assert sorted(counts.values()) == [STREAMS // 2, STREAMS // 2]


def refusal(caught: pytest.ExceptionInfo[InvalidStatus]) -> tuple[int, dict[str, object], str | None]:
    """Status, JSON body and Retry-After of a refused upgrade."""
    response = caught.value.response
    assert response.body is not None
    return response.status_code, json.loads(response.body), response.headers.get("Retry-After")


def waiting(platform: Platform) -> int:
    return sum(deployment["streams"]["waiting"] for deployment in platform.status()["deployments"])


async def until_waiting(platform: Platform, count: int) -> None:
    await asyncio.to_thread(
        wait_until, lambda: waiting(platform) == count, WAIT_SECONDS, f"the controller sees {count} streams waiting"
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with deployments of one or two slots, which differ in who may wait for one."""
    folder = tmp_path_factory.mktemp("truss")
    provers = [
        write_prover(folder, "pair", autoscaling={"max_concurrency": 2}),
        write_prover(folder, "impatient", autoscaling={"max_concurrency": 1}, limits={"queue_timeout": 0.5}),
        write_prover(folder, "narrow", autoscaling={"max_concurrency": 1}, limits={"queue_streams_max": 1}),
        write_prover(folder, "lineless", autoscaling={"max_concurrency": 1}, limits={"queue_timeout": 0}),
    ]
    with running_platform([prover.model_dir for prover in provers]) as platform:
        yield platform


def test_a_stream_waits_for_a_slot_and_gets_the_next_that_is_free(small: Platform) -> None:
    url = small.websocket("pair")

    async def answered() -> float:
        async with ordered(url, "facts") as stream:
            await pid_of(stream)
            return time.monotonic()

    async def scenario() -> float:
        async with ordered(url, "facts") as first, ordered(url, "facts") as second:
            assert await pid_of(first) == await pid_of(second)
            third = asyncio.create_task(answered())
            await until_waiting(small, 1)
            fourth = asyncio.create_task(answered())
            await until_waiting(small, 2)
            assert not third.done()
            await first.close()
            freed_at = time.monotonic()
            got_it_at = await third
            # The third leaves as soon as it has an answer, and the fourth has its slot then.
            await fourth
            return got_it_at - freed_at

    taken_s = run(scenario())
    wait_until(lambda: small.active_streams() == 0, WAIT_SECONDS, "every slot is free")

    show("a slot that is free goes to the first in line", ms=taken_s * 1000)


def test_a_stream_that_waited_in_vain_is_refused_with_504(small: Platform) -> None:
    url = small.websocket("impatient")

    async def scenario() -> None:
        async with ordered(url, "facts") as first:
            await pid_of(first)
            asked_at = time.monotonic()
            with pytest.raises(InvalidStatus) as caught:
                await connect(url)
            waited_s = time.monotonic() - asked_at
            status, body, retry_after = refusal(caught)
            show("a stream that waits in vain", queue_timeout_s=0.5, refused_after_s=waited_s)
            assert (status, body["code"], body["retryable"], retry_after) == (504, "QUEUE_TIMEOUT", True, "1")
            assert body["error"] == "No replica became available in time; try again later."
            assert waited_s > 0.49, "timers may be a little early"
            assert await pid_of(first)

    run(scenario())


def test_a_full_line_refuses_with_503(small: Platform) -> None:
    url = small.websocket("narrow")

    async def scenario() -> None:
        async with ordered(url, "facts") as first:
            await pid_of(first)
            waits = asyncio.create_task(connect(url).__aenter__())
            await until_waiting(small, 1)
            with pytest.raises(InvalidStatus) as caught:
                await connect(url)
            status, body, retry_after = refusal(caught)
            assert (status, body["code"], body["retryable"], retry_after) == (503, "QUEUE_FULL", True, "1")
        await (await waits).close()

    run(scenario())


def test_without_a_line_a_full_replica_refuses_with_503(small: Platform) -> None:
    url = small.websocket("lineless")

    async def scenario() -> None:
        async with ordered(url, "facts") as first:
            await pid_of(first)
            with pytest.raises(InvalidStatus) as caught:
                await connect(url)
            status, body, retry_after = refusal(caught)
            assert (status, body["code"], body["retryable"], retry_after) == (503, "REPLICA_FULL", True, "1")

    run(scenario())


def test_every_slot_is_usable_after_streams_have_come_and_gone_in_every_way(tmp_path: Path) -> None:
    prover = write_prover(tmp_path, autoscaling={"max_concurrency": 20}, limits={"queue_timeout": 30})

    async def fill(platform: Platform) -> None:
        url = platform.websocket("prover")
        async with AsyncExitStack() as stack:
            for _ in range(40):
                await pid_of(await stack.enter_async_context(ordered(url, "facts")))
            with pytest.raises(TimeoutError):
                await connect(url, open_timeout=0.5)

    with running_platform([prover.model_dir], replicas=2) as platform:
        churn = Churn(platform.websocket("prover"))
        run(churn.run(1000, 60))
        wait_until(lambda: platform.active_streams() == 0, WAIT_SECONDS, "every slot is free")
        assert churn.ended.total() == 1000
        run(fill(platform))
