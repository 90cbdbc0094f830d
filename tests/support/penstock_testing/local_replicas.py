"""The local actuator with real processes that stand for runners."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from penstock_controller.actuators.base import ReplicaExit, ReplicaSpec
from penstock_controller.actuators.leftovers import find_carriers, kill
from penstock_controller.actuators.local import LocalActuator
from penstock_controller.actuators.process_table import live_records, read_records, read_start_ticks

WAIT_FOR_SIGNAL = "import signal, sys; print(f'started {sys.argv}', flush=True); signal.pause()"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
SHOW_ENVIRONMENT = "import os, json, signal; print(json.dumps(dict(os.environ)), flush=True); signal.pause()"

CHILDREN = """
import os, signal, subprocess, sys
pause = [sys.executable, '-c', 'import signal; signal.pause()']
def start(**changes): return subprocess.Popen(pause, **changes).pid
print(start(), start(start_new_session=True), start(process_group=0, env={}), 'helpers', flush=True)
signal.pause()
"""
"""Starts three helpers: one in its own group, one in another session, one in another group without an environment."""

ID = "echo-1-aaaaa"


class Run:
    """An actuator with the exits it told of."""

    def __init__(self, actuator: LocalActuator, state_dir: Path) -> None:
        self.actuator = actuator
        self.state_dir = state_dir
        self.exits: list[ReplicaExit] = []

    def spec(self, replica_id: str = ID, *, gpus: int = 0, **variables: str) -> ReplicaSpec:
        return ReplicaSpec(replica_id, replica_id[:-6], "echo", "production", str(self.state_dir), gpus, variables)

    def log(self, replica_id: str = ID) -> str:
        return Path(self.actuator.log_path(replica_id)).read_text()

    async def helpers(self, replica_id: str = ID) -> list[int]:
        """Returns the pids of the processes that CHILDREN has started."""
        await until(lambda: "helpers" in self.log(replica_id))
        return [int(word) for word in self.log(replica_id).split()[:3]]


async def until(condition: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while not condition():
            tick = asyncio.Event()
            loop.call_later(0.01, tick.set)
            await tick.wait()


def is_gone(pid: int) -> bool:
    """Whether there is no such process, or only what is left of it until its parent asks."""
    return read_start_ticks(pid) is None


def wait_unreaped(pid: int) -> None:
    """Waits for the end of a child and leaves it to be reaped. Blocks, so that the event loop cannot notice first."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@asynccontextmanager
async def actuator(
    state_dir: Path, program: str = WAIT_FOR_SIGNAL, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Run]:
    """Runs `program` as if it were a runner. Replicas outlive the block; the test ends them."""
    run = Run(
        LocalActuator(
            state_dir,
            controller_address="unix:/c",
            runner_command=(sys.executable, "-c", program),
            environ={**os.environ, "PENSTOCK_GPUS": "none", **(environ or {})},
        ),
        state_dir,
    )
    await run.actuator.open(run.exits.append)
    try:
        yield run
    finally:
        await run.actuator.close()


@contextmanager
def nothing_left(state_dir: Path) -> Iterator[None]:
    """Ends, after the test, every process that replicas in `state_dir` have left."""
    try:
        yield
    finally:
        run_dir, log_dir = state_dir.resolve() / "run", state_dir / "logs"
        known = [carrier for carriers in find_carriers(run_dir, log_dir, {}).values() for carrier in carriers]
        sessions = {carrier.process.pid: carrier.replica_id for carrier in known}
        sessions |= {record.process.pid: record.replica_id for record in read_records(run_dir).values()}
        for record in live_records(run_dir):
            kill([record.process])
        for carriers in find_carriers(run_dir, log_dir, sessions).values():
            kill(carrier.process for carrier in carriers)


def kill_replica(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_and_reap(pid: int) -> None:
    """Kills a child of this process and takes its status, as init does for a runner whose controller is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
