from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.log_files import FILE_BYTES_MAX
from penstock_controller.actuators import local
from penstock_controller.actuators.base import ReplicaExit, ReplicaSpec, StartError
from penstock_controller.actuators.process_table import RunRecord
from penstock_testing.local_replicas import (
    CHILDREN,
    IGNORE_TERM,
    SHOW_ENVIRONMENT,
    actuator,
    is_gone,
    nothing_left,
    until,
    wait_unreaped,
)


@pytest.fixture(autouse=True)
def processes(tmp_path: Path) -> Iterator[None]:
    with nothing_left(tmp_path):
        yield


def test_replica_runs_in_its_own_session_with_its_command_line_and_a_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            process = await run.actuator.ensure(run.spec())
            await until(lambda: "started" in run.log())

            assert os.getsid(process.pid) == process.pid
            assert "'--replica-id', 'echo-1-aaaaa', '--deployment-id', 'echo-1'" in run.log()
            assert "'--controller', 'unix:/c'" in run.log()
            assert await run.actuator.ensure(run.spec()) == process
            assert [p.replica_id for p in await run.actuator.list()] == ["echo-1-aaaaa"]
            await run.actuator.stop("echo-1-aaaaa", grace_s=10)
            assert [(e.replica_id, e.status) for e in run.exits] == [("echo-1-aaaaa", -signal.SIGTERM)]
            assert await run.actuator.list() == []

    asyncio.run(scenario())


def test_kill_is_noticed_at_once_and_the_record_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            process = await run.actuator.ensure(run.spec())
            loop = asyncio.get_running_loop()
            before = loop.time()
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: run.exits != [])

            assert loop.time() - before < 1.0
            assert run.exits[0].status == -signal.SIGKILL
            await until(lambda: list((tmp_path / "run").iterdir()) == [])

    asyncio.run(scenario())


def test_replica_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, IGNORE_TERM) as run:
            await run.actuator.ensure(run.spec())
            await until(lambda: "deaf" in run.log())
            await run.actuator.stop("echo-1-aaaaa", grace_s=0.1)

            assert run.exits[0].status == -signal.SIGKILL

    asyncio.run(scenario())


def test_exit_comes_with_its_status_and_the_end_of_the_output(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, "print('no weights'); raise SystemExit(1)") as run:
            await run.actuator.ensure(run.spec())
            await until(lambda: run.exits != [])

            assert run.exits == [ReplicaExit("echo-1-aaaaa", 1, "no weights")]

    asyncio.run(scenario())


def test_all_that_the_model_started_ends_with_its_runner(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, CHILDREN) as run:
            process = await run.actuator.ensure(run.spec())
            helpers = await run.helpers()
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: run.exits != [])
            await until(lambda: all(is_gone(pid) for pid in helpers))

    asyncio.run(scenario())


def test_successor_adopts_a_live_replica_and_notices_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            process = await run.actuator.ensure(run.spec())
        async with actuator(tmp_path) as successor:
            (adopted,) = await successor.actuator.list()
            assert (adopted.pid, adopted.deployment_id) == (process.pid, "echo-1")
            assert abs((adopted.started_wall or 0) - (process.started_wall or 0)) < 5
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: successor.exits != [])

    asyncio.run(scenario())


def test_record_of_a_process_that_is_gone_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "r1.json").write_text(
        f'{{"replica_id": "r1", "deployment_id": "d", "pid": {os.getpid()}, "pid_start_ticks": 1}}'
    )

    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            assert await run.actuator.list() == []
            assert not await run.actuator.may_have_started("r1")
            assert await run.actuator.may_have_started("r2")
            assert not run.actuator.adopt("r1", "d", os.getpid(), 1)

    asyncio.run(scenario())


def test_without_pidfd_ends_are_noticed_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(local, "open_pidfd", refuse)

    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            await run.actuator.ensure(run.spec())
            await until(lambda: "started" in run.log())
            await run.actuator.stop("echo-1-aaaaa", grace_s=10)

            assert run.exits[0].status == -signal.SIGTERM

    asyncio.run(scenario())


def test_start_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            spec = ReplicaSpec("r1", "d", "d", "", str(tmp_path / "missing"))
            with pytest.raises(StartError, match="missing"):
                await run.actuator.ensure(spec)

    asyncio.run(scenario())


def test_check_finds_an_end_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            process = await run.actuator.ensure(run.spec())
            os.kill(process.pid, signal.SIGKILL)
            wait_unreaped(process.pid)
            run.actuator.check("echo-1-aaaaa")

            assert [e.replica_id for e in run.exits] == ["echo-1-aaaaa"]

    asyncio.run(scenario())


WRITE_WHEN_TOLD = """
import signal, sys
def write(*_):
    for _ in range(12): print('x' * 1024 * 1024, flush=True)
    print('end', flush=True)
signal.signal(signal.SIGUSR1, write)
print('started', flush=True)
while True: signal.pause()
"""


def test_log_of_an_adopted_replica_is_put_aside_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOG_CHECK_S", 0.05)

    async def scenario() -> None:
        async with actuator(tmp_path, WRITE_WHEN_TOLD) as run:
            process = await run.actuator.ensure(run.spec())
            await until(lambda: "started" in run.log())
        async with actuator(tmp_path) as successor:
            os.kill(process.pid, signal.SIGUSR1)
            await until(lambda: "end" in successor.log()[-10:] or (tmp_path / "logs/echo-1-aaaaa.log.1").exists())
            await until(lambda: (tmp_path / "logs/echo-1-aaaaa.log.1").exists())
            await until(lambda: Path(successor.actuator.log_path("echo-1-aaaaa")).stat().st_size < FILE_BYTES_MAX)
            os.kill(process.pid, signal.SIGUSR1)
            await until(lambda: (tmp_path / "logs/echo-1-aaaaa.log.2").exists())

    asyncio.run(scenario())


def test_old_logs_go_while_those_of_live_replicas_stay(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(30):
        path = tmp_path / "logs" / f"gone-1-{'abcdefghijklmnopqrstuvwxyz234567'[number] * 5}.log"
        path.write_text("x")
        os.utime(path, (number, number))

    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            await run.actuator.ensure(run.spec())
            await until(lambda: len(list((tmp_path / "logs").glob("gone-1-*.log"))) == 20)
            await until(lambda: "started" in run.log())

    asyncio.run(scenario())


def test_variables_of_the_model_are_there_before_the_process_starts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, SHOW_ENVIRONMENT, {"OMP_NUM_THREADS": "8", "KEPT": "1"}) as run:
            await run.actuator.ensure(
                run.spec(OMP_NUM_THREADS="2", PENSTOCK_REPLICA_ID="forged", PYTHONSAFEPATH="", CUDA_VISIBLE_DEVICES="7")
            )
            await until(lambda: run.log().endswith("}\n"))
            env = json.loads(run.log())

            assert (env["OMP_NUM_THREADS"], env["KEPT"], env["CUDA_VISIBLE_DEVICES"]) == ("2", "1", "7")
            assert env["PENSTOCK_REPLICA_ID"] == "echo-1-aaaaa"
            assert env["PENSTOCK_DEPLOYMENT_ID"] == "echo-1"
            assert env["PYTHONSAFEPATH"] == "1"

    asyncio.run(scenario())


def test_start_that_cannot_be_noted_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def refuse(_: object, record: RunRecord) -> None:
        started.append(record.process.pid)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local, "write_spawn_record", refuse)

    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            with pytest.raises(StartError, match="No space left on device"):
                await run.actuator.ensure(run.spec())

            assert is_gone(started[0])
            assert await run.actuator.list() == []

    asyncio.run(scenario())


def test_start_that_fails_leaves_no_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path) as run:
            with pytest.raises(StartError):
                await run.actuator.ensure(ReplicaSpec("echo-1-bbbbb", "echo-1", "echo", "", str(tmp_path / "missing")))

            assert list((tmp_path / "logs").iterdir()) == []

    asyncio.run(scenario())


def test_an_environment_that_is_gone_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        actuator = local.LocalActuator(tmp_path, controller_address="unix:/c")
        await actuator.open(lambda _: None)
        spec = ReplicaSpec("echo-1-aaaaa", "echo-1", "echo", "", str(tmp_path), python=str(tmp_path / "gone"))
        with pytest.raises(StartError, match=r"its environment is gone .*push or apply"):
            await actuator.ensure(spec)
        await actuator.close()

    asyncio.run(scenario())
