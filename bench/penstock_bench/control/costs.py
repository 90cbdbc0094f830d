"""What single steps of the controller cost, called one after another in this process."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.api.control.v1 import control_pb2
from penstock_bench.control import fleet as fleets
from penstock_bench.control.state_folder import write_state
from penstock_controller.actuators.base import ExitListener, ReplicaProcess, ReplicaSpec, StartError
from penstock_controller.conversion import snapshot_to_wire
from penstock_controller.reconciler import Reconciler
from penstock_controller.records import Registration, ReplicaReport, ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.scaling.policy import decide
from penstock_controller.serving import DATABASE_FILE
from penstock_controller.sessions import RunnerSession
from penstock_controller.store import Store

STREAMS = 200
"""Streams of each replica."""

MEASURE_S = 0.4
REPEATS_MIN = 5


@dataclass(frozen=True, slots=True)
class Costs:
    """Medians of CPU time in milliseconds, for one deployment with `replicas` replicas."""

    replicas: int
    decide_ms: float
    """The policy alone."""
    look_ms: float
    """What it is to know gathered, and the policy."""
    round_ms: float
    """A whole round of the reconciler after one replica has told another count."""
    snapshot_ms: float
    """A snapshot built, converted and serialized, once for all edges."""
    snapshot_bytes: int
    report_us: float
    """A status taken in (converted already), in microseconds."""


class NoActuator:
    """Runs nothing."""

    name = "none"

    async def open(self, on_exit: ExitListener) -> None:
        pass

    async def ensure(self, spec: ReplicaSpec) -> ReplicaProcess:
        raise StartError("this is a measurement: nothing is started")

    async def stop(self, replica_id: str, *, grace_s: float) -> None:
        pass

    def adopt(self, replica_id: str, deployment_id: str, pid: int, start_ticks: int) -> bool:
        return False

    async def may_have_started(self, replica_id: str) -> bool:
        return True

    def log_path(self, replica_id: str) -> str:
        return ""

    def check(self, replica_id: str) -> None:
        pass

    async def close(self) -> None:
        pass

    async def list(self) -> Sequence[ReplicaProcess]:
        return []


def measure_costs(replicas: int, measure_s: float = MEASURE_S) -> Costs:
    """Builds a controller in this process, without a server, and times its steps."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        write_state(Path(folder), replicas)
        store = Store(Path(folder) / DATABASE_FILE)
        try:
            return asyncio.run(_measure(store, replicas, measure_s))
        finally:
            store.close()


async def _measure(store: Store, replicas: int, measure_s: float) -> Costs:
    reconciler = Reconciler(
        registry=Registry(epoch=1, now=time.monotonic()),
        store=store,
        actuator=NoActuator(),
        clock=time.monotonic,
        wall=time.time,
    )
    await reconciler.open()
    # Its tasks are not needed: the steps are called from here.
    await reconciler.close()
    sequence = itertools.count(1)
    sessions = [RunnerSession() for _ in range(replicas)]
    for number, session in enumerate(sessions):
        reconciler.attach(_registration(number, _report(next(sequence), STREAMS)), session)

    def report() -> None:
        number = next(sequence)
        chosen = number % replicas
        count = STREAMS + number % 7
        reconciler.report(fleets.replica_id(chosen), sessions[chosen], _report(number, count))

    scaler, world, registry = reconciler.scaler, reconciler.world, reconciler.registry
    [deployment] = world.deployments.values()
    # The one member that is not public: a round is what the loop does between two sleeps.
    await reconciler._step()
    config = scaler.config(deployment)
    state = world.scaling(deployment.deployment_id).state
    now = time.monotonic()
    observation = scaler.observe(deployment.deployment_id, now)
    assert len(observation.replicas) == replicas, "the policy does not see the fleet"

    rounds: list[float] = []
    ends_at = time.monotonic() + measure_s
    while len(rounds) < REPEATS_MIN or time.monotonic() < ends_at:
        report()
        began = time.thread_time()
        await reconciler._step()
        rounds.append(time.thread_time() - began)

    def snapshot() -> bytes:
        table = registry.route_table(time.monotonic())
        return control_pb2.WatchResponse(snapshot=snapshot_to_wire(table)).SerializeToString()

    return Costs(
        replicas=replicas,
        decide_ms=_median_ms(lambda: decide(config, state, observation, now), measure_s),
        look_ms=_median_ms(lambda: scaler.preview(deployment, time.monotonic()), measure_s),
        round_ms=statistics.median(rounds) * 1000,
        snapshot_ms=_median_ms(snapshot, measure_s),
        snapshot_bytes=len(snapshot()),
        report_us=_median_ms(report, measure_s) * 1000,
    )


def _median_ms(step: Callable[[], object], measure_s: float) -> float:
    taken: list[float] = []
    ends_at = time.monotonic() + measure_s
    while len(taken) < REPEATS_MIN or time.monotonic() < ends_at:
        began = time.thread_time()
        step()
        taken.append(time.thread_time() - began)
    return statistics.median(taken) * 1000


def _report(sequence: int, streams: int) -> ReplicaReport:
    return ReplicaReport(sequence, ReplicaState.READY, streams, fleets.CAPACITY, 0.001, streams_total=sequence)


def _registration(number: int, report: ReplicaReport) -> Registration:
    return Registration(
        replica_id=fleets.replica_id(number),
        deployment_id=fleets.DEPLOYMENT,
        boot_id=f"boot-{number}",
        address=f"10.0.{number // 250}.{number % 250}:50051",
        pid=0,
        pid_start_ticks=0,
        version="0",
        started_wall=1.0,
        report=report,
    )
