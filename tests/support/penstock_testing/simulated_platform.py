"""A whole platform in virtual time: controller lives, runners, edges, clients and operators, with faults by a seed.

The programs are those of production. See simulated_network, simulated_runner, simulated_machine, simulated_controller
and simulated_edge for what stands in for the world around them, and simulated_checks for what must hold.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from penstock.placement import PlacementStrategy
from penstock_controller.operations import ReplicaChange
from penstock_controller.records import Deployment, StreamLimits
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.overrides import effective
from penstock_testing.simulated_checks import Checks
from penstock_testing.simulated_controller import WALL, ControllerLife
from penstock_testing.simulated_edge import Leaving, Phase, SimulatedClient, SimulatedEdge, until
from penstock_testing.simulated_faults import FAULTS, Faults
from penstock_testing.simulated_machine import KilledError, Machine, MachineSettings
from penstock_testing.simulated_network import Network
from penstock_testing.simulated_node import Node
from penstock_testing.simulated_operators import ACTS, Operators, ask
from penstock_testing.simulated_runner import pause
from penstock_testing.virtual_time import run_virtual

TRACE_LINES = 400

VIOLATIONS_MAX = 10
"""Later ones are mostly consequences."""

RECOVERS_S = 100.0
"""Quiet after which everything has come back: a recovery of 15 s, a silence of ten leases, and the longest back-off."""

PROBE_S = 60.0
"""Time in which streams that max_replica allows must be served: cold starts and the back-offs of edges."""


@dataclass(slots=True)
class Scenario:
    """What happens during a run."""

    faults: Mapping[str, float] = field(default_factory=lambda: dict(FAULTS))
    """Weights of the faults; empty: none."""
    acts: Mapping[str, float] = field(default_factory=lambda: dict(ACTS))
    """Weights of what operators do; empty: nothing."""
    chaos_s: tuple[float, float] = (40.0, 120.0)
    fault_every_s: float = 12.0
    act_every_s: float = 12.0
    streams_every_s: tuple[float, float] = (0.3, 4.0)
    hold_s: tuple[float, float] = (5.0, 60.0)
    edges: int = 2
    overlaps: bool = False
    """Controllers that were replaced go on for a while."""


class SimulationError(AssertionError):
    """An invariant did not hold."""


class Platform:
    """One run. Use `simulate`."""

    def __init__(self, seed: int, folder: Path, scenario: Scenario) -> None:
        self.seed = seed
        self.scenario = scenario
        self.random = random.Random(seed)
        self._folder = folder
        self._violations: list[str] = []
        self._trace: deque[str] = deque(maxlen=TRACE_LINES)
        self._lives = 0
        self._background: set[asyncio.Task[Any]] = set()
        self._is_quiet = False
        self.counts: Counter[str] = Counter()
        """Faults, acts and streams of the run."""

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unexpected)
        draw = self.random
        base = draw.choice((0.0003, 0.002, 0.02))
        self.network = Network(random.Random(draw.random()), (base, base * draw.choice((1.5, 4.0, 20.0))), self.broken)
        self._settings = MachineSettings(
            load_s=draw.choice(((0.2, 2.0), (1.0, 8.0), (5.0, 20.0))),
            refused_starts=draw.choice((0.0, 0.0, 0.1)) if self.scenario.faults else 0.0,
            failed_loads=draw.choice((0.0, 0.0, 0.1)) if self.scenario.faults else 0.0,
        )
        self.deployments = self._draw_deployments()
        slots = {one.deployment_id: one.scaling.max_concurrency for one in self.deployments}
        self.machine = Machine(self.network, random.Random(draw.random()), self._settings, slots, self.broken)
        self.checks = Checks(self)
        self.life: ControllerLife | None = None
        self.left_behind: ControllerLife | None = None
        with self.network.in_place_of_grpc():
            await self._start_controller()
            await self._apply()
            self.edges = [self._new_edge(number) for number in range(self.scenario.edges)]
            self._edge_count = len(self.edges)
            operator = Node("operator")
            tasks = [
                operator.spawn(work, "work")
                for work in (self._serve_clients(), Faults(self).run(), Operators(self).run())
            ]
            ticker = operator.spawn(self._tick(), "ticker")
            await pause(draw.uniform(*self.scenario.chaos_s))
            self._is_quiet = True
            for task in tasks:
                task.cancel()
            await self._calm_down()
            await self._probe()
            await self._empty()
            ticker.cancel()
            for node in [edge.node for edge in self.edges] + [p.node for p in self.machine.alive()]:
                self.network.kill(node)
            if self.life is not None:
                self.life.kill()
            if self.left_behind is not None:
                self.left_behind.kill()
            await asyncio.sleep(0)
        self._judge()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    # What went wrong.

    def trace(self, what: str) -> None:
        self._trace.append(f"{self.now:9.3f} {what}")

    def story(self) -> list[str]:
        """Returns the last things that happened."""
        return list(self._trace)

    def broken(self, what: str) -> None:
        """An invariant does not hold."""
        if len(self._violations) < VIOLATIONS_MAX:
            self.trace(f"BROKEN: {what}")
            self._violations.append(f"{self.now:.3f}: {what}")

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, KilledError):
            self.broken(f"{context.get('message')}: {error!r}")

    def logged(self, event: str, details: Mapping[str, Any]) -> None:
        """A program has logged an error."""
        error = details.get("exc_info")
        if error is True:
            error = sys.exc_info()[1]
            details = {**details, "exc_info": "".join(traceback.format_exception(error)[-4:])}
        if isinstance(error, KilledError) or event in ("replica_not_started", "model_load_failed"):
            return
        self.broken(f"logged {event}: {dict(details)}")

    def _judge(self) -> None:
        if self._violations:
            raise SimulationError(self._report())

    def _report(self) -> str:
        lines = "\n".join(self._violations)
        trace = "\n".join(self._trace)
        return f"seed {self.seed}: {len(self._violations)} invariants broken\n{lines}\n\nwhat happened:\n{trace}"

    # Controllers.

    async def _start_controller(self) -> None:
        self._lives += 1
        life = ControllerLife(
            self.network,
            self.machine,
            self._folder / "controller.db",
            self._lives,
            check_stop=self.checks.check_stop,
            check_start=self.checks.check_start,
            on_look=self.checks.looked,
        )
        self.life = life
        self.trace(f"controller of epoch {life.epoch} starts")
        await life.node.spawn(life.open(), "open")

    async def restart_controller(self, after_s: float) -> None:
        """Kills the controller, and starts another after a while."""
        if self.life is not None:
            self.life.kill()
            self.life = None
        await pause(after_s)
        await self._start_controller()

    async def replace_controller(self, both_s: float) -> None:
        """Starts a controller while the one before goes on. Whoever loses its call comes to one of the two."""
        before = self.life
        if before is None or not before.is_alive or self.left_behind is not None:
            return
        before.leave_behind()
        self.left_behind = before
        await self._start_controller()
        over_at = self.now + both_s
        while self.now < over_at:
            await pause(self.random.uniform(0.1, 1.0))
            nodes = [edge.node for edge in self.edges] + [process.node for process in self.machine.alive()]
            for life in (before, self.life):
                if life is not None:
                    self.network.break_calls(self.random.choice(nodes).name, life.node.name)
        before.kill()
        self.left_behind = None

    async def _apply(self) -> None:
        assert self.life is not None
        await self.life.operations.apply(self.deployments, prune=True)

    def _draw_deployments(self) -> list[Deployment]:
        draw = self.random
        made = []
        for number in (1, 2):
            least = draw.choice((0, 0, 1, 2))
            made.append(
                Deployment(
                    deployment_id=f"echo-{number}",
                    name="echo",
                    source="/models/echo",
                    scaling=ScalingSettings(
                        min_replica=least,
                        max_replica=max(least, draw.randint(1, 5)),
                        max_concurrency=draw.randint(1, 5),
                        scale_down_delay_s=draw.choice((0.0, 2.0, 10.0)),
                        scale_down_interval_s=draw.choice((0.5, 3.0)),
                        buffer_slots=draw.choice((0, 0, 0, 1)),
                        placement=draw.choice(list(PlacementStrategy)),
                        cordon_surplus=draw.random() < 0.3,
                    ),
                    limits=StreamLimits(queue_timeout_s=30.0, handshake_timeout_s=5.0, queue_streams_max=50),
                    environments=("production",) if number == 1 else (),
                    created_wall=WALL + number,
                )
            )
        return made

    def _new_edge(self, number: int) -> SimulatedEdge:
        return SimulatedEdge(self.network, random.Random(self.random.random()), f"edge-{number}")

    async def restart_edge(self, edge: SimulatedEdge, after_s: float) -> None:
        """Kills an edge, and starts another after a while."""
        edge.kill()
        self._edge_count += 1
        number = self._edge_count
        self.edges.remove(edge)
        await pause(after_s)
        self.edges.append(self._new_edge(number))

    # Clients.

    async def _serve_clients(self) -> None:
        draw, scenario = self.random, self.scenario
        while True:
            every_s = draw.uniform(*scenario.streams_every_s)
            for _ in range(draw.randint(5, 40)):
                await pause(draw.expovariate(1 / every_s))
                self._open(draw.expovariate(1 / draw.uniform(*scenario.hold_s)))

    def _open(self, hold_s: float | None) -> SimulatedClient | None:
        edges = [edge for edge in self.edges if edge.is_alive]
        if not edges:
            return None
        edge = self.random.choice(edges)
        by_id = self.random.choice(self.deployments).deployment_id if self.random.random() < 0.1 else None
        deployment = edge.deployment("echo", by_id if hold_s is not None else None)
        if deployment is None:
            self.counts["not found"] += 1
            return None
        self.counts["streams"] += 1
        return edge.open(deployment, hold_s, self.checks.stream_over)

    # Quiet.

    async def _calm_down(self) -> None:
        """No more faults, and settings as in the beginning."""
        self.trace("calm")
        self.network.heal_all()
        self._settings.refused_starts = self._settings.failed_loads = 0.0
        if self.life is not None:
            self.life.live_on()
        if self.life is None or not self.life.is_alive:
            self.life = None
            await self.restart_controller(0.5)
        life = self.life
        assert life is not None
        if self.left_behind is not None:
            self.left_behind.kill()
            self.left_behind = None
        await until(lambda: life.is_ready, 5.0)
        await ask(self, life, self._reset(life))
        await pause(RECOVERS_S)
        await self._expect(self.checks.settled)

    async def _reset(self, life: ControllerLife) -> None:
        operations = life.operations
        await operations.pause("", False)
        for deployment in self.deployments:
            await operations.scale(deployment.deployment_id, None, dry_run=False)
        cordoned = [replica.replica_id for replica in life.registry.replicas() if replica.cordoned]
        await operations.change_replicas(ReplicaChange.UNCORDON, cordoned, grace_s=None, dry_run=False)

    async def _expect(self, look: Callable[[], None]) -> None:
        """Has a look find everything right, within a few seconds: a stream may end at this very moment."""
        found = self.checks.collect(look)
        for _ in range(3):
            if found:
                await pause(2.0)
                found = self.checks.collect(look)
        for what in found:
            self.broken(what)

    async def _probe(self) -> None:
        """As many streams as max_replica allows are served, however few replicas there are."""
        life = self.life
        assert life is not None
        served = next(d for d in life.world.deployments.values() if "production" in d.environments)
        settings = effective(served.scaling, served.overrides)
        staying = sum(
            process.active_streams
            for process in self.machine.alive()
            if process.deployment_id == served.deployment_id and not process.is_draining
        )
        room = settings.max_replica * settings.max_concurrency - staying
        asked = [self._open(None) for _ in range(self.random.randint(0, max(0, room)))]
        clients = [client for client in asked if client is not None]
        if len(clients) < len(asked):
            self.broken("an edge does not know the deployment that is served")
        self.trace(f"{len(clients)} streams more for {room} slots")

        def are_open() -> bool:
            return all(client.phase is not Phase.WAITING for client in clients)

        await until(are_open, PROBE_S)
        for client in clients:
            if client.phase is not Phase.OPEN:
                self.broken(f"a stream that has room is {client.phase}: {client.refusal}")
        # Those that clients hold by chance may have ended meanwhile.
        await pause(30.0)
        await self._expect(self.checks.settled)

    async def _empty(self) -> None:
        self.trace("everybody leaves")
        for edge in self.edges:
            for client in list(edge.clients):
                client.leave(self.random.choice(list(Leaving)))
        # One replica goes after the other, and the longest delay is 10 s.
        await pause(80.0)
        await self._expect(self.checks.emptied)
        streams, over = self.counts["streams"], sum(self.checks.ended.values())
        if streams != over:
            self.broken(f"{streams} streams were asked for, and {over} are over")

    async def _tick(self) -> None:
        while True:
            await pause(0.5)
            self.checks.tick()


@contextmanager
def _deterministic(platform: Platform) -> Iterator[None]:
    """What the programs draw or read off the machine comes from the seed; what they log as an error is noted."""
    drawn = random.Random(platform.seed)
    ids = iter(range(1, 1_000_000))

    def noted(logger: object, method: str, event: Any) -> Any:
        if method in ("error", "exception", "critical"):
            platform.logged(str(event.pop("event", "")), event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[noted], wrapper_class=structlog.make_filtering_bound_logger(40))
    state = random.getstate()
    random.seed(platform.seed)
    try:
        with (
            mock.patch("penstock_controller.lifecycle.new_replica_id", lambda of: f"{of}-r{next(ids)}"),
            mock.patch("penstock_runner.lag.INTERVAL_S", 3600.0),
            mock.patch("penstock_runner.replica.resident_bytes", return_value=0),
            mock.patch("penstock_edge.watch.random", drawn),
        ):
            yield
    finally:
        random.setstate(state)
        structlog.configure(**before)


def simulate(seed: int, folder: Path, scenario: Scenario) -> Platform:
    """Runs one simulation to its end.

    Raises:
        SimulationError: An invariant did not hold; the text tells the seed, and what happened.
    """
    folder.mkdir(exist_ok=True)
    platform = Platform(seed, folder, scenario)
    with _deterministic(platform):
        run_virtual(platform.run())
    return platform


def chosen_seeds(default: range) -> range:
    """Returns the seeds of PENSTOCK_SIMULATION_SEEDS ("7" or "0-999"), or those by default."""
    wanted = os.environ.get("PENSTOCK_SIMULATION_SEEDS", "")
    if not wanted:
        return default
    first, _, last = wanted.partition("-")
    return range(int(first), int(last or first) + 1)
