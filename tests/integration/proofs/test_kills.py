"""`kill -9` of a runner, of the edge, of the controller: who notices, how soon, and that it is mended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from penstock_testing.figures import show
from penstock_testing.platform import Platform, is_alive, running_platform
from penstock_testing.prover import answer, ordered, run, write_prover
from penstock_testing.static_platform import wait_until

NOTICE_S_MAX = 1.0
"""The issue's bar for a killed runner and a killed edge."""

MENDED_SECONDS = 30.0
"""How long a process that was killed may take to be back."""

STREAMS = 60


async def pid_of(stream: ClientConnection) -> int:
    """The runner that has this stream of `facts`."""
    await stream.send("?")
    return int((await answer(stream))["pid"])


@asynccontextmanager
async def facts_streams(url: str, count: int) -> AsyncIterator[dict[int, list[ClientConnection]]]:
    """Open streams of `facts` by the pid of their runner."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(ordered(url, "facts")) for _ in range(count)]
        by_pid = defaultdict(list)
        for stream in streams:
            by_pid[await pid_of(stream)].append(stream)
        yield by_pid


async def pids_of_streams(url: str, count: int) -> set[int]:
    """Runners that get streams of a moment."""
    async with facts_streams(url, count) as by_pid:
        return set(by_pid)


def kill(pid: int) -> float:
    """Returns when it was killed."""
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return killed_at


async def keep_asking(streams: list[ClientConnection], pid: int, until: asyncio.Event) -> list[float]:
    """Asks every stream again and again, which `pid` must answer; returns the times of the answers in ms."""
    times = []
    while not until.is_set():
        for stream in streams:
            asked = time.monotonic()
            assert await pid_of(stream) == pid
            times.append((time.monotonic() - asked) * 1000)
    return times


async def wait_for_close(stream: ClientConnection) -> tuple[int, float]:
    """The close code, and when it came; 1006 when the connection just ended."""
    with pytest.raises(ConnectionClosed) as caught:
        await stream.recv()
    return (caught.value.rcvd.code if caught.value.rcvd else 1006), time.monotonic()


async def ask_until_closed(stream: ClientConnection) -> tuple[int, float]:
    """The same, on a stream that is busy until then."""
    try:
        while True:
            await pid_of(stream)
    except ConnectionClosed:
        return await wait_for_close(stream)


def ready_pids(platform: Platform) -> list[int]:
    return sorted(replica["pid"] for replica in platform.status()["replicas"] if replica["state"] == "ready")


def test_killed_runner_ends_its_own_streams_with_1014_and_comes_back(tmp_path: Path) -> None:
    prover = write_prover(tmp_path)

    async def scenario(platform: Platform) -> None:
        url = platform.websocket("prover")
        async with facts_streams(url, STREAMS) as by_pid:
            assert sorted(by_pid) == ready_pids(platform)
            victim, survivor = by_pid
            busy_beside = by_pid[survivor].pop()
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(keep_asking(by_pid[survivor], survivor, over))
                busy, idle = by_pid[victim][::2], by_pid[victim][1::2]
                closings = [group.create_task(wait_for_close(stream)) for stream in idle]
                closings += [group.create_task(ask_until_closed(stream)) for stream in busy]
                for _ in range(10):
                    await pid_of(busy_beside)
                killed_at = kill(victim)
                closes = await asyncio.gather(*closings)
                await asyncio.to_thread(
                    wait_until,
                    lambda: len(set(ready_pids(platform)) - {victim}) == 2,
                    MENDED_SECONDS,
                    "two replicas are ready again",
                )
                back_s = time.monotonic() - killed_at
                over.set()
            latest = max(at for _, at in closes) - killed_at
            show("kill -9 of a runner", streams=len(closes), last_close_s=latest, replica_is_back_s=back_s)
            show("streams of the other runner", answers=len(asking.result()), slowest_ms=max(asking.result()))
            assert {code for code, _ in closes} == {1014}
            assert latest < NOTICE_S_MAX
        (fresh,) = set(ready_pids(platform)) - {survivor}
        # The controller knows of it a moment before the edge does.
        async with asyncio.timeout(MENDED_SECONDS):
            while await pids_of_streams(url, 20) != {survivor, fresh}:
                pass

    with running_platform([prover.model_dir], replicas=2) as platform:
        run(scenario(platform))


def test_killed_edge_has_its_handlers_cancelled_and_comes_back(tmp_path: Path) -> None:
    prover = write_prover(tmp_path)

    async def open_streams(url: str, stack: AsyncExitStack) -> list[ClientConnection]:
        streams = []
        for number in range(STREAMS):
            do = "hold" if number % 2 else "echo"
            stream = await stack.enter_async_context(ordered(url, do, case=do))
            if do == "echo":
                await stream.send("hello")
            await stream.recv()
            streams.append(stream)
        return streams

    async def scenario(platform: Platform) -> float:
        async with AsyncExitStack() as stack:
            streams = await open_streams(platform.websocket("prover"), stack)
            killed_at = kill(platform.pids("edge")[0])
            assert {code for code, _ in await asyncio.gather(*map(wait_for_close, streams))} == {1006}
        return killed_at

    with running_platform([prover.model_dir]) as platform:
        (edge,) = platform.pids("edge")
        runners = platform.pids("runner")
        killed_at = run(scenario(platform))
        waiting = prover.wait_notes("hold", STREAMS // 2)
        receiving = prover.wait_notes("echo", STREAMS // 2)
        latest = {
            what: max(note["at"] for note in notes) - killed_at
            for what, notes in (("cancelled", waiting), ("told", receiving))
        }
        show("kill -9 of the edge", last_cancelled_s=latest["cancelled"], last_told_s=latest["told"])
        assert {note["what"] for note in waiting} == {"cancelled"}
        assert {note["what"] for note in receiving} == {"disconnect"}
        assert max(latest.values()) < NOTICE_S_MAX

        wait_until(lambda: platform.pids("edge") not in ([], [edge]), MENDED_SECONDS, "`up` starts another edge")
        wait_until(lambda: platform.active_streams() == 0, MENDED_SECONDS, "every slot is free")
        wait_until(lambda: is_serving(platform), MENDED_SECONDS, "the new edge serves at the same address")
        assert platform.pids("runner") == runners


def is_serving(platform: Platform) -> bool:
    async def ask() -> int:
        async with ordered(platform.websocket("prover"), "facts") as stream:
            return await pid_of(stream)

    try:
        return run(ask()) in platform.pids("runner")
    except (OSError, InvalidStatus):
        # 503 as long as the edge has not heard from its controller.
        return False


def test_killed_controller_is_noticed_by_no_stream_old_or_new(tmp_path: Path) -> None:
    prover = write_prover(tmp_path)

    async def scenario(platform: Platform) -> None:
        url = platform.websocket("prover")
        (controller,), runners = platform.pids("controller"), platform.pids("runner")
        async with facts_streams(url, STREAMS) as by_pid:
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                asking = [group.create_task(keep_asking(streams, pid, over)) for pid, streams in by_pid.items()]
                # `up`, which would start another controller within a second, does nothing meanwhile.
                with held(platform.process.pid):
                    kill(controller)
                    async with facts_streams(url, 20) as fresh:
                        assert controllers(platform) == []
                        show(
                            "new streams without a controller",
                            **{f"runner_{n}": len(s) for n, s in enumerate(fresh.values())},
                        )
                        assert sorted(fresh) == runners
                await asyncio.to_thread(
                    wait_until,
                    lambda: is_adopted(platform, controller, STREAMS),
                    MENDED_SECONDS,
                    "the new controller knows every replica and stream",
                )
                over.set()
            show("open streams while the controller was away", slowest_ms=max(max(task.result()) for task in asking))
            status = platform.status()
        assert ready_pids(platform) == runners == processes(platform, "runner")
        assert [replica["restarts"] for replica in status["replicas"]] == [0, 0]
        assert status["controller"]["epoch"] == 2
        (deployment,) = status["deployments"]
        assert deployment["streams"]["active"] == STREAMS
        assert deployment["replicas"]["ready"] == deployment["replicas"]["target"] == 2
        assert [edge["pid"] for edge in status["edges"]] == platform.pids("edge")

    with running_platform([prover.model_dir], replicas=2) as platform:
        run(scenario(platform))


@contextmanager
def held(pid: int) -> Iterator[None]:
    """Stops a process for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def controllers(platform: Platform) -> list[int]:
    """Controllers that have taken the state folder."""
    found = json.loads((platform.state_dir / "controller.json").read_text())["pid"]
    return [found] if is_alive(found) else []


def processes(platform: Platform, kind: str) -> list[int]:
    """Every living process of this kind and state folder on the machine, whoever its parent is."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"penstock_{kind}" in command and str(platform.state_dir) in command and is_alive(int(folder.name)):
            found.append(int(folder.name))
    return sorted(found)


def is_adopted(platform: Platform, former: int, streams: int) -> bool:
    """Whether a controller other than `former` counts all streams, and has heard from the edge."""
    if former in controllers(platform) or not controllers(platform):
        return False
    status = platform.status()
    counted = sum(deployment["streams"]["active"] for deployment in status["deployments"])
    return not status["controller"]["recovering"] and counted == streams and bool(status["edges"])
