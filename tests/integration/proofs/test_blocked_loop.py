"""A model that blocks its event loop for longer than the lease loses no stream and no lease."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from penstock_testing.cadence import cadence
from penstock_testing.figures import percentile, show
from penstock_testing.platform import Platform, running_platform
from penstock_testing.prover import answer, ordered, run, write_prover
from penstock_testing.static_platform import wait_until

BLOCKED_S = 16.0
"""More than two leases, and time to look at the other replica beside."""

LAG_SEEN_S = 8.0
"""More than a lease."""

SEEN_SECONDS = 60.0


def test_blocked_loop_costs_no_stream_and_no_lease(tmp_path: Path) -> None:
    prover = write_prover(tmp_path)
    during: list[dict[str, Any]] = []

    async def scenario(platform: Platform) -> None:
        url = platform.websocket("prover")
        async with ordered(url, "facts") as first, ordered(url, "facts") as second:
            pids = [await pid_of(first), await pid_of(second)]
            assert len(set(pids)) == 2
            # Both hold one stream; whichever is chosen now, one of the two shares its runner.
            async with ordered(url, "block", seconds=BLOCKED_S) as blocker:
                assert await blocker.recv() == "blocking"
                await blocker.send("sent while the loop is blocked")
                await asyncio.to_thread(watch, platform)
                blocked_pid = lagging(during[-1])[0]["pid"]
                beside, other = (first, second) if pids[0] == blocked_pid else (second, first)
                await beside.send("?")
                async with asyncio.timeout(3):
                    assert await pid_of(other) != blocked_pid
                with cadence(url, json.dumps({"do": "echo"})) as figures:
                    # New streams are placed on the other replica, which has fewer of them or answers.
                    assert await blocker.recv() == "sent while the loop is blocked"
                assert (await answer(beside))["pid"] == blocked_pid
                assert await pid_of(beside) == blocked_pid
            show(
                "20 ms cadence on the replica that is not blocked",
                messages=figures.count,
                p50_ms=percentile(figures.latencies, 0.5),
                p99_ms=percentile(figures.latencies, 0.99),
                max_ms=max(figures.latencies),
            )
            assert (figures.missing, figures.closed) == (0, 0)
            after = platform.status()
            assert sorted(replica["pid"] for replica in after["replicas"]) == sorted(pids)
            assert [replica["restarts"] for replica in after["replicas"]] == [0, 0]

    def watch(platform: Platform) -> None:
        """Looks until the lag is longer than a lease; the replica must be in good standing all the while."""

        def is_long() -> bool:
            status = platform.status()
            during.append(status)
            assert [(r["state"], r["suspect"]) for r in status["replicas"]] == [("ready", False)] * 2
            return any(replica["event_loop_lag"] > LAG_SEEN_S for replica in lagging(status))

        wait_until(is_long, SEEN_SECONDS, f"`controller status` shows a lag of more than {LAG_SEEN_S:g} s")
        (replica,) = lagging(during[-1])
        show(
            "a blocked replica in `controller status`",
            lag_s=replica["event_loop_lag"],
            status_age_s=replica["status_age"],
        )

    def lagging(status: dict[str, Any]) -> list[dict[str, Any]]:
        return [replica for replica in status["replicas"] if replica["event_loop_lag"] > 1]

    with running_platform([prover.model_dir], replicas=2) as platform:
        run(scenario(platform))


async def pid_of(stream: Any) -> int:
    await stream.send("?")
    return int((await answer(stream))["pid"])
