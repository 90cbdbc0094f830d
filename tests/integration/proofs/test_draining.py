"""SIGTERM drains an edge and a runner: what is open may finish, and nothing new begins."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from penstock_testing.figures import show
from penstock_testing.prover import Prover, ordered, run, write_prover
from penstock_testing.static_platform import StaticPlatform, static_platform, wait_until

DRAIN_S = 1.0
"""The drain timeout with which `static_platform` starts both processes."""

END_SECONDS = 15.0


@contextmanager
def platform_of(prover: Prover, folder: Path) -> Iterator[tuple[StaticPlatform, str]]:
    """An edge and a runner, and the URL of the prover."""
    with static_platform(prover.model_dir, folder, model=prover.name) as platform:
        yield platform, f"ws://{platform.http}{platform.websocket_path}"


async def end_of(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd is not None, "the connection ended without a close frame"
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def echo(client: ClientConnection, text: str) -> None:
    await client.send(text)
    assert await client.recv() == text


async def refusal(url: str) -> int:
    """The status that answers a new upgrade, once one is refused."""
    async with asyncio.timeout(END_SECONDS):
        while True:
            try:
                async with connect(url):
                    await asyncio.sleep(0)
            except InvalidStatus as refused:
                return refused.response.status_code


def test_edge_on_sigterm_refuses_new_streams_and_ends_open_ones_at_its_timeout_only(tmp_path: Path) -> None:
    async def scenario(platform: StaticPlatform, url: str) -> tuple[int, float, tuple[int, str]]:
        async with ordered(url, "echo", "draining") as client:
            await echo(client, "before")
            asked_at = time.monotonic()
            platform.edge.send_signal(signal.SIGTERM)
            status = await refusal(url)
            await echo(client, "while it drains")
            end = await end_of(client)
            return status, time.monotonic() - asked_at, end

    prover = write_prover(tmp_path)
    with platform_of(prover, tmp_path) as (platform, url):
        status, ended_s, end = run(scenario(platform, url))
        exit_status = platform.edge.wait(END_SECONDS)
        (note,) = prover.wait_notes("draining")

    show("an edge drains", timeout_s=DRAIN_S, stream_ended_after_s=ended_s)
    assert status == 503
    assert end == (1012, "Edge is stopping; connect again.")
    assert ended_s > 0.99 * DRAIN_S, "timers may be a little early"
    assert exit_status == 0
    assert note["what"] == "disconnect"


def test_edge_on_sigterm_ends_as_soon_as_its_last_stream_has(tmp_path: Path) -> None:
    async def scenario(platform: StaticPlatform, url: str) -> None:
        async with ordered(url, "finish") as client:
            platform.edge.send_signal(signal.SIGTERM)
            assert await refusal(url) == 503
            await client.send("finish")
            assert await client.recv() == "last word"
            assert await end_of(client) == (1000, "")

    with platform_of(write_prover(tmp_path), tmp_path) as (platform, url):
        run(scenario(platform, url))
        assert platform.edge.wait(END_SECONDS) == 0


def test_second_sigterm_ends_an_edge_at_once(tmp_path: Path) -> None:
    async def scenario(platform: StaticPlatform, url: str) -> None:
        async with ordered(url, "echo", "cut") as client:
            await echo(client, "before")
            platform.edge.send_signal(signal.SIGTERM)
            assert await refusal(url) == 503
            platform.edge.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed):
                await client.recv()

    prover = write_prover(tmp_path)
    with platform_of(prover, tmp_path) as (platform, url):
        run(scenario(platform, url))
        assert platform.edge.wait(END_SECONDS) != 0
        assert [note["what"] for note in prover.wait_notes("cut")] == ["disconnect"]


def test_runner_on_sigterm_lets_its_handler_finish_and_exits_with_0(tmp_path: Path) -> None:
    async def scenario(platform: StaticPlatform, url: str) -> None:
        async with ordered(url, "finish", "runner drains") as client:
            await asyncio.to_thread(
                wait_until, lambda: platform.ongoing_streams() == 1, END_SECONDS, "the stream has its slot"
            )
            platform.runner.send_signal(signal.SIGTERM)
            await asyncio.to_thread(wait_until, lambda: drains(platform), END_SECONDS, "the runner drains")
            await client.send("finish")
            assert await client.recv() == "last word"
            assert await end_of(client) == (1000, "")

    prover = write_prover(tmp_path)
    with platform_of(prover, tmp_path) as (platform, url):
        run(scenario(platform, url))
        assert platform.runner.wait(END_SECONDS) == 0
        assert [note["what"] for note in prover.notes("runner drains")] == ["finished"]


def test_runner_on_sigterm_cuts_a_handler_that_does_not_finish_with_1012(tmp_path: Path) -> None:
    async def scenario(platform: StaticPlatform, url: str) -> tuple[int, str]:
        async with ordered(url, "hold", "runner cuts") as client:
            assert await client.recv() == "holding"
            os.kill(platform.runner.pid, signal.SIGTERM)
            return await end_of(client)

    prover = write_prover(tmp_path)
    with platform_of(prover, tmp_path) as (platform, url):
        assert run(scenario(platform, url)) == (1012, "Replica is stopping; connect again.")
        assert platform.runner.wait(END_SECONDS) == 0
        assert [note["what"] for note in prover.notes("runner cuts")] == ["cancelled"]


def drains(platform: StaticPlatform) -> bool:
    return "drain" in (platform.folder / "runner.log").read_text()
