from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock_controller.actuators import local
from penstock_controller.actuators.base import ReplicaExit, ReplicaSpec, StartError
from penstock_controller.actuators.local import LocalActuator
from penstock_controller.actuators.process_table import live_records

WAIT_FOR_SIGNAL = "import signal, sys; print('started', sys.argv, flush=True); signal.pause()"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
HELPER = (
    "import subprocess, signal, sys;"
    "p = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
    "print('helper', p.pid, flush=True); signal.pause()"
)


class Run:
    """An actuator with the exits it told of."""

    def __init__(self, actuator: LocalActuator, state_dir: Path) -> None:
        self.actuator = actuator
        self.state_dir = state_dir
        self.exits: list[ReplicaExit] = []

    def spec(self, replica_id: str = "echo-1-aaaaa") -> ReplicaSpec:
        return ReplicaSpec(replica_id, "echo-1", "echo", "production", str(self.state_dir))

    def log(self, replica_id: str = "echo-1-aaaaa") -> str:
        return Path(self.actuator.log_path(replica_id)).read_text()


async def until(condition: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while not condition():
            tick = asyncio.Event()
            loop.call_later(0.01, tick.set)
            await tick.wait()


def wait_unreaped(pid: int) -> None:
    """Waits for the end of a child and leaves it to be reaped. Blocks, so that the event loop cannot notice first."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@asynccontextmanager
async def actuator(state_dir: Path, program: str = WAIT_FOR_SIGNAL) -> AsyncIterator[Run]:
    """Runs `program` as if it were a runner. Replicas outlive the block; the test ends them."""
    run = Run(
        LocalActuator(state_dir, controller_address="unix:/c", runner_command=(sys.executable, "-c", program)),
        state_dir,
    )
    await run.actuator.open(run.exits.append)
    try:
        yield run
    finally:
        await run.actuator.close()


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> object:
    yield
    for record in live_records(tmp_path / "run"):
        os.kill(record.process.pid, signal.SIGKILL)
    return None


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
            assert list((tmp_path / "run").iterdir()) == []

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


def test_what_the_model_started_ends_with_its_runner(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with actuator(tmp_path, HELPER) as run:
            process = await run.actuator.ensure(run.spec())
            await until(lambda: "helper" in run.log())
            helper = int(run.log().split()[1])
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: run.exits != [])
            await until(
                lambda: not Path(f"/proc/{helper}").exists() or " Z " in Path(f"/proc/{helper}/stat").read_text()
            )

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
