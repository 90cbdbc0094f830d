"""Scaling with real processes: up one by one as the slots fill, down one by one as clients leave, and from zero."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from penstock_testing.figures import show
from penstock_testing.platform import Platform, running_platform
from penstock_testing.prover import answer, ordered, run, write_prover
from penstock_testing.static_platform import wait_until

SCALED_SECONDS = 30.0
"""How long a replica may take to start, or to end."""

QUEUE_TIMEOUT_S = 2.0

AUTOSCALING = {
    "max_concurrency": 4,
    "min_replica": 1,
    "max_replica": 3,
    "scale_down_delay": 1,
    "scale_down_interval": 0.5,
}


def replicas(platform: Platform, state: str = "ready") -> list[dict[str, Any]]:
    return [replica for replica in platform.status()["replicas"] if replica["state"] == state]


def decisions(platform: Platform) -> list[dict[str, Any]]:
    """The decisions on the prover, the newest first."""
    explained: dict[str, Any] = json.loads(platform.command("explain", "prover", "-o", "json"))
    history: list[dict[str, Any]] = explained["history"]
    return history


async def wait_ready(platform: Platform, count: int) -> None:
    await asyncio.to_thread(
        wait_until, lambda: len(replicas(platform)) == count, SCALED_SECONDS, f"{count} replicas are ready"
    )


async def pid_of(stream: ClientConnection) -> int:
    await stream.send("?")
    return int((await answer(stream))["pid"])


async def refused(url: str) -> tuple[int, float]:
    """HTTP status of a refused upgrade, and how long it took."""
    began = time.monotonic()
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, open_timeout=30):
            pass
    return caught.value.response.status_code, time.monotonic() - began


def test_replicas_follow_the_streams_up_and_down_and_none_is_cut(tmp_path: Path) -> None:
    prover = write_prover(
        tmp_path, autoscaling=AUTOSCALING, limits={"queue_timeout": QUEUE_TIMEOUT_S, "queue_streams_max": 2}
    )

    async def scenario(platform: Platform) -> None:
        url = platform.websocket("prover")
        async with AsyncExitStack() as stack:
            streams: list[ClientConnection] = []

            async def open_streams(count: int) -> None:
                for _ in range(count):
                    streams.append(await stack.enter_async_context(ordered(url, "facts")))
                    await pid_of(streams[-1])

            await open_streams(2)
            assert len(replicas(platform)) == 1
            await open_streams(1)
            await wait_ready(platform, 2)
            await open_streams(3)
            await wait_ready(platform, 3)
            await open_streams(6)
            assert len({await pid_of(stream) for stream in streams}) == 3
            await asyncio.to_thread(
                wait_until,
                lambda: sorted(r["streams"]["active"] for r in replicas(platform)) == [4, 4, 4],
                SCALED_SECONDS,
                "every replica tells of its four streams",
            )

            waits = [asyncio.create_task(refused(url)) for _ in range(2)]
            await asyncio.to_thread(
                wait_until,
                lambda: platform.status()["deployments"][0]["streams"]["waiting"] == 2,
                5.0,
                "two clients wait",
            )
            # The line is full: the next one is told at once.
            assert (await refused(url))[0] == 503
            assert "max_replica is 3" in platform.command("explain", "prover")
            for status, waited_s in await asyncio.gather(*waits):
                show("13th client", status=status, waited_s=waited_s)
                assert status == 504
                assert waited_s >= QUEUE_TIMEOUT_S - 0.1

            keeper = streams[0]
            kept_pid = await pid_of(keeper)
            left_at = time.time()
            await asyncio.gather(*(stream.close() for stream in streams[1:]))
            await wait_ready(platform, 1)
            # Never the one with the stream, and the stream goes on.
            assert await pid_of(keeper) == kept_pid
            assert [r["pid"] for r in replicas(platform)] == [kept_pid]
            gone = [d for d in decisions(platform) if d["rule"] == "idle_replica"]
            assert [(d["from"], d["to"]) for d in gone] == [(2, 1), (3, 2)]
            second_at, first_at = (datetime.fromisoformat(d["at"]).timestamp() for d in gone)
            show("idle replicas went after (s)", first=first_at - left_at, second=second_at - left_at)
            assert first_at - left_at >= AUTOSCALING["scale_down_delay"] - 0.2
            assert second_at - first_at >= AUTOSCALING["scale_down_interval"] - 0.2

    with running_platform([prover.model_dir], replicas=None) as platform:
        run(scenario(platform))


def test_first_client_waits_through_the_cold_start_and_the_deployment_goes_back_to_zero(tmp_path: Path) -> None:
    prover = write_prover(tmp_path, autoscaling={**AUTOSCALING, "min_replica": 0})

    async def scenario(platform: Platform) -> None:
        url = platform.websocket("prover")
        for round_ in range(2):
            await wait_ready(platform, 0)
            await asyncio.to_thread(
                wait_until, lambda: platform.pids("runner") == [], SCALED_SECONDS, "no runner is left"
            )
            began = time.monotonic()
            async with ordered(url, "facts") as stream:
                pid = await pid_of(stream)
                show("from zero", round=round_, first_answer_s=time.monotonic() - began)
                assert [r["pid"] for r in replicas(platform)] == [pid]
        assert [d["rule"] for d in decisions(platform)].count("from_zero") == 2

    with running_platform([prover.model_dir], replicas=None) as platform:
        run(scenario(platform))
