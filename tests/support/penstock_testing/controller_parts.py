"""Parts of a controller for unit tests: a clock that is moved by hand, an engine without processes, and records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from penstock_controller.actuators.base import ExitListener, ReplicaExit, ReplicaProcess, ReplicaSpec, StartError
from penstock_controller.reconciler import Reconciler
from penstock_controller.records import Deployment, Registration, ReplicaReport, ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.service import ControllerServer
from penstock_controller.sessions import RunnerSession
from penstock_controller.status_view import ControllerFacts
from penstock_controller.store import Store

WALL = 1_700_000_000.0

FACTS = ControllerFacts("c0ffee00", "0.1.0", 42, WALL, "unix:/run/penstock/controller.sock", "/run/penstock", "fake")


class ManualClock:
    """Monotonic seconds that pass only when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return WALL + self.now


class FakeActuator:
    """Replicas that exist by name only; a test ends them."""

    name = "fake"

    def __init__(self) -> None:
        self.running: dict[str, ReplicaProcess] = {}
        self.started: list[ReplicaSpec] = []
        self.stopped: list[str] = []
        self.maybe: set[str] = set()
        """Replicas whose start may have happened unnoted."""
        self.refusal: str | None = None
        """Why every start fails."""
        self._on_exit: ExitListener = lambda _: None
        self._pids = iter(range(100, 100_000))

    async def open(self, on_exit: ExitListener) -> None:
        self._on_exit = on_exit

    async def ensure(self, spec: ReplicaSpec) -> ReplicaProcess:
        if self.refusal is not None:
            raise StartError(self.refusal)
        if spec.replica_id not in self.running:
            self.started.append(spec)
            self.running[spec.replica_id] = ReplicaProcess(spec.replica_id, spec.deployment_id, next(self._pids), WALL)
        return self.running[spec.replica_id]

    def adopt(self, replica_id: str, deployment_id: str, pid: int, start_ticks: int) -> bool:
        if replica_id in self.maybe:
            self.running[replica_id] = ReplicaProcess(replica_id, deployment_id, pid)
        return replica_id in self.running

    async def stop(self, replica_id: str, *, grace_s: float) -> None:
        self.stopped.append(replica_id)
        self.end(replica_id, 0)

    async def may_have_started(self, replica_id: str) -> bool:
        return replica_id in self.maybe

    def log_path(self, replica_id: str) -> str:
        return f"/logs/{replica_id}.log"

    def check(self, replica_id: str) -> None:
        pass

    async def close(self) -> None:
        pass

    def end(self, replica_id: str, status: int | None, output: str = "") -> None:
        """The process of a replica ends."""
        if self.running.pop(replica_id, None) is not None:
            self._on_exit(ReplicaExit(replica_id, status, output))

    async def list(self) -> Sequence[ReplicaProcess]:
        return tuple(self.running.values())


class ControllerParts:
    """A reconciler on a store of its own, without a server."""

    def __init__(self, store: Store, actuator: FakeActuator, clock: ManualClock) -> None:
        self.store = store
        self.actuator = actuator
        self.clock = clock
        self.registry = Registry(epoch=store.next_epoch(), now=clock())
        self.reconciler = Reconciler(
            registry=self.registry, store=store, actuator=actuator, clock=clock, wall=clock.wall, look_interval_s=0.0
        )
        self.world = self.reconciler.world
        self.operations = self.reconciler.operations

    def attach(self, replica_id: str, state: ReplicaState = ReplicaState.READY, *, active: int = 0) -> RunnerSession:
        """The runner of a started replica opens its call."""
        process = self.actuator.running[replica_id]
        session = RunnerSession()
        self.reconciler.attach(
            registration(replica_id, process.deployment_id, state, pid=process.pid, active=active), session
        )
        return session

    async def until(self, condition: Callable[[], bool]) -> None:
        """Lets the reconciler work until `condition` holds."""
        async with asyncio.timeout(10):
            while not condition():
                self.reconciler.changed()
                await asyncio.sleep(0)

    async def settle(self) -> None:
        """Lets the reconciler finish what it can do now."""
        for _ in range(50):
            self.reconciler.changed()
            await asyncio.sleep(0)


@asynccontextmanager
async def controller_parts(
    folder: Path, *, actuator: FakeActuator | None = None, clock: ManualClock | None = None
) -> AsyncIterator[ControllerParts]:
    """One controller life on the database in `folder`; a second one there is its successor."""
    store = Store(folder / "controller.db")
    try:
        parts = ControllerParts(store, actuator or FakeActuator(), clock or ManualClock())
        await parts.reconciler.open()
        try:
            yield parts
        finally:
            await parts.reconciler.close()
    finally:
        store.close()


@asynccontextmanager
async def served_controller(folder: Path) -> AsyncIterator[tuple[ControllerParts, str]]:
    """The same, with its gRPC server on a unix socket in `folder`; yields the address too."""
    async with controller_parts(folder) as parts:
        server = ControllerServer(f"unix:{folder}/c.sock")
        server.add_services(parts.reconciler, FACTS, parts.clock, parts.clock.wall)
        await server.start()
        try:
            yield parts, server.address
        finally:
            await server.stop(0.2)


def deployment(deployment_id: str = "echo-1", replicas: int | None = 1, **changes: object) -> Deployment:
    """A deployment of exactly `replicas` replicas; None has it scaled."""
    values: dict[str, object] = {
        "deployment_id": deployment_id,
        "name": deployment_id.rpartition("-")[0],
        "source": "/models/echo",
        "scaling": ScalingSettings(max_concurrency=8),
        "overrides": ScalingOverrides(replicas=replicas),
        "environments": ("production",),
        "created_wall": WALL,
        **changes,
    }
    return Deployment(**values)  # type: ignore[arg-type]  # names are checked by the class itself


def report(
    sequence: int, state: ReplicaState = ReplicaState.READY, *, active: int = 0, message: str = ""
) -> ReplicaReport:
    return ReplicaReport(sequence=sequence, state=state, active_streams=active, stream_capacity=8, message=message)


def registration(
    replica_id: str,
    deployment_id: str = "echo-1",
    state: ReplicaState = ReplicaState.READY,
    *,
    boot_id: str = "boot",
    pid: int = 0,
    active: int = 0,
) -> Registration:
    return Registration(
        replica_id=replica_id,
        deployment_id=deployment_id,
        boot_id=boot_id,
        address="127.0.0.1:7000",
        pid=pid,
        pid_start_ticks=1,
        version="0.1.0",
        started_wall=WALL,
        report=report(1, state, active=active),
    )
