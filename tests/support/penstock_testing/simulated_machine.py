"""A machine whose processes are simulated, and the actuator that each life of the controller has on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock_controller.actuators.base import (
    ExitListener,
    NoFreeGpuError,
    ReplicaExit,
    ReplicaProcess,
    ReplicaSpec,
    StartError,
)
from penstock_testing.simulated_network import Network
from penstock_testing.simulated_runner import SimulatedProcess


class KilledError(BaseException):
    """The controller was killed at this very point. No program may catch it."""


@dataclass(slots=True)
class MachineSettings:
    """What the machine does with new processes. Times in seconds, as least and most."""

    boot_s: tuple[float, float] = (0.1, 1.0)
    load_s: tuple[float, float] = (0.5, 8.0)
    refused_starts: float = 0.0
    """Share of the starts that the engine refuses."""
    failed_loads: float = 0.0
    """Share of the processes whose model cannot be loaded."""


class Machine:
    """All processes, dead and alive.

    Args:
        slots: slots of a new replica, by deployment.
        broken: called with every invariant that does not hold.
    """

    def __init__(
        self,
        network: Network,
        seeded: random.Random,
        settings: MachineSettings,
        slots: Mapping[str, int],
        broken: Callable[[str], None],
    ) -> None:
        self.network = network
        self.random = seeded
        self.settings = settings
        self.slots = slots
        self.broken = broken
        self.processes: dict[str, SimulatedProcess] = {}
        """By replica; those that have ended too."""
        self.unrecorded: set[str] = set()
        """Replicas that were started at the moment in which their controller died: nothing on disk tells of them."""
        self.actuator: SimulatedActuator | None = None
        """That of the controller that lives."""
        self._pids = 100

    def alive(self) -> list[SimulatedProcess]:
        return [process for process in self.processes.values() if process.is_alive]

    def spawn(self, spec: ReplicaSpec) -> SimulatedProcess:
        self._pids += 1
        settings, draw = self.settings, self.random
        if spec.replica_id in self.processes:
            self.broken(f"{spec.replica_id} is started twice")
        process = SimulatedProcess(
            self.network,
            random.Random(draw.random()),
            spec,
            self._pids,
            slots=self.slots[spec.deployment_id],
            boot_s=draw.uniform(*settings.boot_s),
            load_s=draw.uniform(*settings.load_s),
            can_load=draw.random() >= settings.failed_loads,
            on_exit=self._exited,
            broken=self.broken,
        )
        self.processes[spec.replica_id] = process
        return process

    def _exited(self, process: SimulatedProcess, status: int) -> None:
        # The controller hears of it a moment later; one that starts meanwhile finds the process gone.
        self.network.loop.call_later(0.001, self._tell, process.replica_id, status)

    def _tell(self, replica_id: str, status: int) -> None:
        if self.actuator is not None:
            self.actuator.process_exited(replica_id, status)


class SimulatedActuator:
    """The engine as one life of the controller sees it.

    Args:
        check_stop: called before a process gets SIGTERM.
        check_start: called before a process is started.
    """

    name = "simulated"

    def __init__(
        self,
        machine: Machine,
        *,
        check_stop: Callable[[SimulatedProcess], None],
        check_start: Callable[[ReplicaSpec], None],
        dies_at_start: Callable[[], bool],
    ) -> None:
        self._machine = machine
        self._check_stop, self._check_start = check_stop, check_start
        self._dies_at_start = dies_at_start
        self._watched: dict[str, SimulatedProcess] = {}
        self._ended_before: set[str] = set()
        self._on_exit: ExitListener = lambda _: None
        self.is_dead = False
        """The controller was killed, or has another machine now: it reaches no process any more."""

    async def open(self, on_exit: ExitListener) -> None:
        self._on_exit = on_exit
        machine = self._machine
        for process in machine.processes.values():
            if process.replica_id in machine.unrecorded:
                continue
            if process.is_alive:
                self._watched[process.replica_id] = process
            else:
                self._ended_before.add(process.replica_id)
        machine.actuator = self

    async def ensure(self, spec: ReplicaSpec) -> ReplicaProcess:
        if self.is_dead:
            raise StartError("the machine is out of reach")
        known = self._watched.get(spec.replica_id)
        if known is None:
            self._check_start(spec)
            machine = self._machine
            if machine.random.random() < machine.settings.refused_starts:
                raise (NoFreeGpuError if machine.random.random() < 0.5 else StartError)("refused by the simulation")
            dies = self._dies_at_start()
            if dies and machine.random.random() < 0.5:
                raise KilledError
            known = self._watched[spec.replica_id] = machine.spawn(spec)
            if dies:
                machine.unrecorded.add(spec.replica_id)
                raise KilledError
        return _described(known)

    async def stop(self, replica_id: str, *, grace_s: float) -> None:
        process = self._watched.get(replica_id)
        if process is None or self.is_dead:
            return
        self._check_stop(process)
        process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await process.exited.wait()
                return
        except TimeoutError:
            pass
        if not self.is_dead:
            process.crash()

    def adopt(self, replica_id: str, deployment_id: str, pid: int, start_ticks: int) -> bool:
        process = self._machine.processes.get(replica_id)
        if self.is_dead or process is None or process.pid != pid or not process.is_alive:
            return False
        self._watched[replica_id] = process
        self._machine.unrecorded.discard(replica_id)
        return True

    async def may_have_started(self, replica_id: str) -> bool:
        return replica_id not in self._watched and replica_id not in self._ended_before

    def log_path(self, replica_id: str) -> str:
        return ""

    def check(self, replica_id: str) -> None:
        process = self._watched.get(replica_id)
        if process is not None and not process.is_alive:
            self.process_exited(replica_id, -9)

    async def close(self) -> None:
        self._watched.clear()

    async def list(self) -> Sequence[ReplicaProcess]:
        return [_described(process) for process in self._watched.values()]

    def process_exited(self, replica_id: str, status: int) -> None:
        """The process has ended."""
        if not self.is_dead and self._watched.pop(replica_id, None) is not None:
            self._on_exit(ReplicaExit(replica_id, status))


def _described(process: SimulatedProcess) -> ReplicaProcess:
    return ReplicaProcess(process.replica_id, process.deployment_id, process.pid, process.started_at)
