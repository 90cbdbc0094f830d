"""Processes that a killed controller or a killed runner may leave, with real ones."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from penstock_controller.actuators import leftovers
from penstock_controller.actuators.leftovers import carried_gpus, find_carriers, kill
from penstock_controller.actuators.process_table import ProcessName, read_start_ticks
from penstock_testing.local_replicas import CHILDREN, ID, actuator, is_gone, kill_and_reap, nothing_left, until

TWO_GPUS = {"PENSTOCK_GPUS": "0,1"}
PAUSE = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture(autouse=True)
def processes(tmp_path: Path) -> Iterator[None]:
    with nothing_left(tmp_path):
        yield


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no replica's, in a session of its own."""
    process = subprocess.Popen(PAUSE, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def name_of(pid: int) -> ProcessName:
    return ProcessName(pid, read_start_ticks(pid) or 0)


def forget_records(state_dir: Path) -> None:
    for path in (state_dir / "run").iterdir():
        path.unlink()


def test_runner_and_what_it_started_are_found_by_their_environment(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, CHILDREN, TWO_GPUS) as run:
            process = await run.actuator.ensure(run.spec(gpus=1))
            helpers = await run.helpers()

            found = find_carriers(tmp_path / "run", tmp_path / "logs", {})[ID]

            # The third helper has no environment; it is found only once its runner is gone.
            assert {c.process.pid: c.is_runner for c in found} == {
                process.pid: True,
                helpers[0]: False,
                helpers[1]: False,
            }
            assert {(c.deployment_id, c.gpus) for c in found} == {("echo-1", "0")}
            assert carried_gpus(name_of(process.pid)) == "0"
            with_session = find_carriers(tmp_path / "run", tmp_path / "logs", {process.pid: ID})[ID]
            assert {c.process.pid for c in with_session} == {process.pid, *helpers}
            assert find_carriers(tmp_path / "elsewhere", tmp_path / "logs", {}) == {}

    asyncio.run(scenario())


def test_kill_ends_only_the_very_process(stranger: subprocess.Popen[bytes]) -> None:
    name = name_of(stranger.pid)

    kill([ProcessName(name.pid, name.start_ticks + 1)])
    assert name.is_alive()
    kill([name])
    assert stranger.wait(20) == -signal.SIGKILL
    kill([name])


def test_kill_works_without_pidfd(stranger: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(38, "Function not implemented")

    def note(pid: int, number: int) -> None:
        sent.append((pid, number))

    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "pidfd_open", refuse)
    monkeypatch.setattr(os, "kill", note)
    name = name_of(stranger.pid)

    kill([ProcessName(name.pid, name.start_ticks + 1)])
    assert sent == []
    kill([name])
    assert sent == [(stranger.pid, signal.SIGKILL)]
    monkeypatch.undo()


def test_runner_without_a_record_is_adopted_with_its_gpus_and_noted_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, CHILDREN, TWO_GPUS) as run:
            before = await run.actuator.ensure(run.spec(gpus=2))
            await run.helpers()
        forget_records(tmp_path)

        async with actuator(tmp_path, environ=TWO_GPUS) as successor:
            (adopted,) = await successor.actuator.list()
            assert (adopted.pid, adopted.deployment_id, adopted.gpus) == (before.pid, "echo-1", "0,1")
            assert not await successor.actuator.may_have_started(ID)
            noted = json.loads((tmp_path / "run" / f"{ID}.spawn.json").read_text())
            assert (noted["pid"], noted["gpus"]) == (before.pid, "0,1")
            await successor.actuator.stop(ID, grace_s=20)
            assert [ended.replica_id for ended in successor.exits] == [ID]

    asyncio.run(scenario())


def test_controller_that_ends_before_it_has_swept_leaves_that_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(leftovers, "kill", lambda _: None)
            async with actuator(tmp_path, CHILDREN) as run:
                await run.actuator.ensure(run.spec())
                helpers = await run.helpers()
                await run.actuator.stop(ID, grace_s=20)
        async with actuator(tmp_path):
            await until(lambda: all(is_gone(pid) for pid in helpers))
            await until(lambda: list((tmp_path / "run").iterdir()) == [])

    asyncio.run(scenario())


def test_runner_with_a_damaged_record_is_adopted_and_rubbish_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            before = await run.actuator.ensure(run.spec())
            await until(lambda: "started" in run.log())
        (tmp_path / "run" / f"{ID}.spawn.json").write_text('{"replica_id": "echo-1-aa')
        for name in (".gone-1-aaaaa.json.k2j5h3l1", "gone-1-aaaaa.json", "gone-1-bbbbb.spawn.json"):
            (tmp_path / "run" / name).write_text('{"repl')

        async with actuator(tmp_path) as successor:
            assert [p.pid for p in await successor.actuator.list()] == [before.pid]
            assert [path.name for path in (tmp_path / "run").iterdir()] == [f"{ID}.spawn.json"]

    asyncio.run(scenario())


def test_what_a_dead_runner_has_left_is_ended_by_the_next_controller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, CHILDREN, TWO_GPUS) as run:
            process = await run.actuator.ensure(run.spec(gpus=2))
            helpers = await run.helpers()
        kill_and_reap(process.pid)
        assert not any(is_gone(pid) for pid in helpers)

        async with actuator(tmp_path, environ=TWO_GPUS) as successor:
            assert await successor.actuator.list() == []
            assert not await successor.actuator.may_have_started(ID)
            await until(lambda: all(is_gone(pid) for pid in helpers))
            await until(lambda: list((tmp_path / "run").iterdir()) == [])
            assert successor.exits == [], "its end is told by its absence, as that of any replica with a record"

    asyncio.run(scenario())


def test_what_a_dead_runner_has_left_is_ended_without_its_record_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, CHILDREN) as run:
            process = await run.actuator.ensure(run.spec())
            *helpers, without_environment = await run.helpers()
        forget_records(tmp_path)
        kill_and_reap(process.pid)

        async with actuator(tmp_path) as successor:
            assert not await successor.actuator.may_have_started(ID)
            await until(lambda: all(is_gone(pid) for pid in helpers))
        # Nothing says whose it is any more.
        kill([name_of(without_environment)])

    asyncio.run(scenario())


def test_stranger_with_the_pid_of_a_dead_runner_is_left_alone(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    """Its session has the id that the runner's had, and that is not enough."""
    (tmp_path / "run").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / f"{ID}.log").write_text("last words")
    (tmp_path / "run" / f"{ID}.json").write_text(
        json.dumps({"replica_id": ID, "deployment_id": "echo-1", "pid": stranger.pid, "pid_start_ticks": 1})
    )

    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            assert await run.actuator.list() == []
            await run.actuator.ensure(run.spec("echo-1-bbbbb"))
            await run.actuator.stop("echo-1-bbbbb", grace_s=20)

    asyncio.run(scenario())
    assert name_of(stranger.pid).is_alive()


def test_replicas_of_another_state_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    async def scenario() -> None:
        async with actuator(tmp_path / "a") as run:
            process = await run.actuator.ensure(run.spec())
        async with actuator(tmp_path / "b") as other:
            assert await other.actuator.list() == []
            await other.actuator.ensure(other.spec())
            await other.actuator.stop(ID, grace_s=20)
        assert name_of(process.pid).is_alive()

    with nothing_left(tmp_path / "a"), nothing_left(tmp_path / "b"):
        asyncio.run(scenario())


def test_what_was_ended_is_logged(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        async with actuator(tmp_path, CHILDREN) as run:
            process = await run.actuator.ensure(run.spec())
            helpers = await run.helpers()
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: all(is_gone(pid) for pid in helpers))
            return helpers

    with structlog.testing.capture_logs() as logs:
        helpers = asyncio.run(scenario())

    (entry,) = [entry for entry in logs if entry["event"] == "leftovers_killed"]
    assert entry["replica"] == ID
    assert set(entry["pids"]) <= set(helpers) and helpers[1] in entry["pids"]
