"""GPUs of the local actuator, as its processes see them. No real GPU is needed: only names are given out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from penstock_controller.actuators import leftovers, local
from penstock_controller.actuators.base import NoFreeGpuError, ReplicaSpec, StartError
from penstock_controller.actuators.process_table import read_start_ticks
from penstock_testing.local_replicas import (
    CHILDREN,
    SHOW_ENVIRONMENT,
    Run,
    actuator,
    kill_and_reap,
    nothing_left,
    until,
)

TWO_GPUS = {"PENSTOCK_GPUS": "0,1"}
A, B, C = "echo-1-aaaaa", "echo-1-bbbbb", "echo-1-ccccc"


@pytest.fixture(autouse=True)
def processes(tmp_path: Path) -> Iterator[None]:
    with nothing_left(tmp_path):
        yield


async def environment(run: Run, replica_id: str) -> dict[str, Any]:
    await until(lambda: run.log(replica_id).endswith("}\n"))
    found: dict[str, Any] = json.loads(run.log(replica_id))
    return found


async def until_free(run: Run, replica_id: str) -> str:
    """Tries as the controller does, until the replica is started; returns its GPUs."""
    async with asyncio.timeout(20):
        while True:
            try:
                return (await run.actuator.ensure(run.spec(replica_id, gpus=1))).gpus
            except NoFreeGpuError:
                await asyncio.sleep(0)


def test_every_replica_sees_gpus_of_its_own_and_the_next_must_wait(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, SHOW_ENVIRONMENT, TWO_GPUS) as run:
            processes = [await run.actuator.ensure(run.spec(replica_id, gpus=1)) for replica_id in (A, B)]

            assert [process.gpus for process in processes] == ["0", "1"]
            assert [(await environment(run, i))["CUDA_VISIBLE_DEVICES"] for i in (A, B)] == ["0", "1"]
            with pytest.raises(NoFreeGpuError, match=f"^no free GPU: 2 of 2 are in use by {A}, {B}$"):
                await run.actuator.ensure(run.spec(C, gpus=1))
            assert not (tmp_path / "logs" / f"{C}.log").exists()
            os.kill(processes[1].pid, signal.SIGKILL)
            assert await until_free(run, C) == "1"

    asyncio.run(scenario())


def test_model_that_wants_no_gpu_sees_what_the_controller_sees(tmp_path: Path) -> None:
    environ = {**TWO_GPUS, "CUDA_VISIBLE_DEVICES": "5"}

    async def scenario() -> None:
        async with actuator(tmp_path, SHOW_ENVIRONMENT, environ) as run:
            assert (await run.actuator.ensure(run.spec(A))).gpus == ""
            assert (await environment(run, A))["CUDA_VISIBLE_DEVICES"] == "5"

    asyncio.run(scenario())


def test_machine_without_a_gpu_starts_it_without_and_warns_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, SHOW_ENVIRONMENT, {"PENSTOCK_GPUS": "none"}) as run:
            for replica_id in (A, B):
                assert (await run.actuator.ensure(run.spec(replica_id, gpus=2))).gpus == ""
            assert "CUDA_VISIBLE_DEVICES" not in await environment(run, A)

    with structlog.testing.capture_logs() as logs:
        asyncio.run(scenario())
    assert [entry for entry in logs if entry["event"] == "no_gpu_found"] == [
        {"event": "no_gpu_found", "log_level": "warning", "deployment": "echo-1", "wanted": 2}
    ]


def test_successor_knows_which_gpus_are_in_use(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, environ=TWO_GPUS) as run:
            await run.actuator.ensure(run.spec(A, gpus=1))
            gone = await run.actuator.ensure(run.spec(B, gpus=1))
        kill_and_reap(gone.pid)

        async with actuator(tmp_path, environ=TWO_GPUS) as successor:
            assert [(p.replica_id, p.gpus) for p in await successor.actuator.list()] == [(A, "0")]
            assert await until_free(successor, C) == "1"
            await successor.actuator.stop(A, grace_s=20)
            assert await until_free(successor, "echo-1-ddddd") == "0"

    asyncio.run(scenario())


def test_runner_that_attaches_without_a_record_brings_its_gpus(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()

    async def scenario() -> None:
        async with actuator(tmp_path / "other", environ=TWO_GPUS) as other, actuator(tmp_path, environ=TWO_GPUS) as run:
            process = await other.actuator.ensure(other.spec(A, gpus=2))
            await until(lambda: "started" in other.log(A))
            ticks = read_start_ticks(process.pid) or 0

            assert run.actuator.adopt(A, "echo-1", process.pid, ticks)

            assert [p.gpus for p in await run.actuator.list()] == ["0,1"]
            with pytest.raises(NoFreeGpuError):
                await run.actuator.ensure(run.spec(B, gpus=1))

    with nothing_left(tmp_path / "other"):
        asyncio.run(scenario())


def test_gpus_are_not_given_on_while_something_of_the_replica_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs in a driver outlives even SIGKILL; here nobody sends it."""
    spared: list[int] = []
    kill = leftovers.kill
    monkeypatch.setattr(leftovers, "kill", lambda processes: spared.extend(p.pid for p in processes))
    monkeypatch.setattr(local, "SWEEPS_FAST", 3)
    monkeypatch.setattr(local, "SWEEP_S", 0.01)
    monkeypatch.setattr(local, "SWEEP_SLOW_S", 0.02)

    async def scenario() -> None:
        async with actuator(tmp_path, CHILDREN, {"PENSTOCK_GPUS": "0"}) as run:
            process = await run.actuator.ensure(run.spec(A, gpus=1))
            await run.helpers(A)
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: len(spared) >= 4)

            with pytest.raises(NoFreeGpuError, match=f"1 of 1 are in use by {A}"):
                await run.actuator.ensure(run.spec(B, gpus=1))
            with pytest.raises(StartError, match="has not ended yet"):
                await run.actuator.ensure(run.spec(A, gpus=1))
            monkeypatch.setattr(leftovers, "kill", kill)
            assert await until_free(run, B) == "0"

    with structlog.testing.capture_logs() as logs:
        asyncio.run(scenario())
    assert [entry["event"] for entry in logs if "leftovers" in entry["event"]] == [
        "leftovers_killed",
        "leftovers_remain",
    ]


def test_start_that_fails_takes_no_gpu(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, environ={"PENSTOCK_GPUS": "0"}) as run:
            missing = ReplicaSpec(A, "echo-1", "echo", "", str(tmp_path / "missing"), gpus=1)
            with pytest.raises(StartError, match="missing"):
                await run.actuator.ensure(missing)
            with pytest.raises(StartError, match="asks for 2 GPUs and this machine has 1"):
                await run.actuator.ensure(run.spec(A, gpus=2))

            assert (await run.actuator.ensure(run.spec(B, gpus=1))).gpus == "0"

    asyncio.run(scenario())
