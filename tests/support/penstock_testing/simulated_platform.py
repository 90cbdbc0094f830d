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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import structlog

from penstock_controller.errors import ControllerError
from penstock_controller.operations import ReplicaChange
from penstock_controller.records import Deployment, StreamLimits
from penstock_controller.scaling.config import PlacementStrategy, ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides, effective
from penstock_testing.simulated_checks import Checks, Deadline
from penstock_testing.simulated_controller import WALL, ControllerLife
from penstock_testing.simulated_edge import Leaving, Phase, SimulatedClient, SimulatedEdge, until
from penstock_testing.simulated_machine import KilledError, Machine, MachineSettings
from penstock_testing.simulated_network import Network, Node
from penstock_testing.simulated_runner import pause
from penstock_testing.virtual_time import run_virtual

TRACE_LINES = 400

VIOLATIONS_MAX = 10
"""Later ones are mostly consequences."""

RECOVERS_S = 100.0
"""Quiet after which everything has come back: a recovery of 15 s, a silence of ten leases, and the longest back-off."""

PROBE_S = 60.0
"""Time in which streams that max_replica allows must be served: cold starts and the back-offs of edges."""

_FAULTS = {
    "kill controller": 2.0,
    "kill controller at a statement": 2.0,
    "kill controller at a start": 1.0,
    "crash runner": 2.0,
    "restart edge": 0.5,
    "break control": 2.0,
    "break trunk": 0.5,
    "cut control": 2.0,
    "cut edge from controller": 1.0,
    "cut trunk": 0.7,
    "block runner": 1.0,
}
_ACTS = {
    "promote": 2.0,
    "promote with deadline": 1.0,
    "scale": 2.0,
    "scale back": 1.0,
    "max_concurrency": 1.0,
    "replicas": 0.5,
    "drain": 1.0,
    "drain with grace": 0.7,
    "undrain": 1.5,
    "cordon": 1.0,
    "uncordon": 1.0,
    "pause": 0.5,
    "resume": 1.0,
}


@dataclass(slots=True)
class Scenario:
    """What happens during a run."""

    faults: Mapping[str, float] = field(default_factory=lambda: dict(_FAULTS))
    """Weights of the faults; empty: none."""
    acts: Mapping[str, float] = field(default_factory=lambda: dict(_ACTS))
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
        self._deployments = self._draw_deployments()
        slots = {one.deployment_id: one.scaling.max_concurrency for one in self._deployments}
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
                operator.spawn(work, "work") for work in (self._serve_clients(), self._fail(), self._operate())
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
        """Starts a controller while the one before goes on."""
        before = self.life
        if before is None or not before.is_alive or self.left_behind is not None:
            return
        before.leave_behind()
        self.left_behind = before
        await self._start_controller()
        await pause(both_s)
        before.kill()
        self.left_behind = None

    async def _apply(self) -> None:
        assert self.life is not None
        await self.life.operations.apply(self._deployments, prune=True)

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
        by_id = self.random.choice(self._deployments).deployment_id if self.random.random() < 0.1 else None
        deployment = edge.deployment("echo", by_id if hold_s is not None else None)
        if deployment is None:
            self.counts["not found"] += 1
            return None
        self.counts["streams"] += 1
        return edge.open(deployment, hold_s, self.checks.stream_over)

    # Faults.

    async def _fail(self) -> None:
        faults = self.scenario.faults
        while faults:
            await pause(self.random.expovariate(1 / self.scenario.fault_every_s))
            fault = self.random.choices(list(faults), list(faults.values()))[0]
            self.trace(f"fault: {fault}")
            self.counts[fault] += 1
            await self._do(fault)

    async def _do(self, fault: str) -> None:
        draw, life = self.random, self.life
        runners = self.machine.alive()
        runner = draw.choice(runners) if runners else None
        edge = draw.choice(self.edges)
        match fault:
            case "kill controller":
                if self.scenario.overlaps and draw.random() < 0.7:
                    await self.replace_controller(draw.uniform(1.0, 20.0))
                else:
                    await self.restart_controller(draw.choice((0.0, 0.5, 3.0, 10.0)))
            case "kill controller at a statement" | "kill controller at a start":
                if life is None:
                    return
                if fault.endswith("start"):
                    life.kill_at_start()
                else:
                    life.kill_soon(draw.randint(0, 12))
                await until(lambda: not life.is_alive, draw.uniform(1.0, 15.0), 0.1)
                await self.restart_controller(draw.choice((0.0, 0.5, 3.0)))
            case "crash runner" if runner is not None:
                self.trace(f"{runner.replica_id} crashes with {runner.active_streams} streams")
                runner.crash(draw.choice((-9, -11, 3, 0)))
            case "restart edge":
                edge.kill()
                self._edge_count += 1
                self.edges.remove(edge)
                await pause(draw.uniform(0.0, 3.0))
                self.edges.append(self._new_edge(self._edge_count))
            case "break control" if runner is not None and life is not None:
                self.network.break_calls(runner.node.name, life.node.name)
            case "break trunk" if runner is not None:
                self.network.break_calls(runner.node.name, edge.node.name)
            case "cut control" if runner is not None and life is not None:
                self._cut(runner.node.name, life.node.name, draw.choice((0.3, 3.0, 8.0, 30.0, 80.0)))
            case "cut edge from controller" if life is not None:
                self._cut(edge.node.name, life.node.name, draw.choice((0.3, 3.0, 10.0, 30.0)))
            case "cut trunk" if runner is not None:
                self._cut(edge.node.name, runner.node.name, draw.choice((0.3, 3.0, 30.0)))
            case "block runner" if runner is not None and runner.is_ready:
                seconds = draw.choice((1.0, 7.0, 40.0))
                runner.block(seconds)
                for one in self.edges:
                    self.network.cut(one.node.name, runner.node.name, answers_pings=True)
                    self.network.loop.call_later(seconds, self.network.heal, one.node.name, runner.node.name)

    def _cut(self, one: str, other: str, seconds: float) -> None:
        self.trace(f"{one} and {other} are cut off for {seconds} s")
        self.network.cut(one, other)
        self.network.loop.call_later(seconds, self.network.heal, one, other)

    # Operators.

    async def _operate(self) -> None:
        acts = self.scenario.acts
        while acts:
            await pause(self.random.expovariate(1 / self.scenario.act_every_s))
            act = self.random.choices(list(acts), list(acts.values()))[0]
            life = self.life
            if life is None or not life.is_ready or not life.is_alive:
                continue
            self.trace(f"operator: {act}")
            self.counts[act] += 1
            await self._ask(life, self._act(life, act))

    async def _ask(self, life: ControllerLife, request: Any) -> None:
        """Has a request carried out by the controller, which may die meanwhile."""
        task = life.node.spawn(request, "request")
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, ControllerError):
                self.trace(f"refused: {error}")
            elif not isinstance(error, KilledError):
                self.broken(f"an operator got {error!r}")

    async def _act(self, life: ControllerLife, act: str) -> None:
        draw, operations = self.random, life.operations
        name = draw.choice(self._deployments).deployment_id
        replicas = [replica.replica_id for replica in life.registry.replicas()]
        chosen = draw.sample(replicas, min(len(replicas), draw.randint(1, 2)))
        match act:
            case "promote" | "promote with deadline":
                await self._promote(life, name, None if act == "promote" else draw.choice((0.0, 5.0, 30.0)))
            case "scale":
                least = draw.choice((None, 0, 1, 2))
                most = draw.choice((None, 1, 2, 3, 6))
                if least is not None and most is not None:
                    most = max(least, most)
                await operations.scale(name, ScalingOverrides(min_replica=least, max_replica=most), dry_run=False)
            case "scale back":
                await operations.scale(name, None, dry_run=False)
            case "max_concurrency":
                change = ScalingOverrides(max_concurrency=draw.randint(1, 6))
                await operations.scale(name, change, dry_run=False)
            case "replicas":
                await operations.scale(name, ScalingOverrides(replicas=draw.randint(0, 4)), dry_run=False)
            case "pause" | "resume":
                await operations.pause(draw.choice((name, "")), act == "pause")
            case "drain" | "drain with grace" if chosen:
                grace_s = None if act == "drain" else draw.choice((0.0, 3.0, 20.0))
                if grace_s is not None:
                    for replica_id in chosen:
                        self._allow(replica_id, grace_s * 0.9)
                await operations.change_replicas(ReplicaChange.DRAIN, chosen, grace_s=grace_s, dry_run=False)
            case "undrain" if chosen:
                leaving = [replica.replica_id for replica in life.registry.replicas() if replica.is_leaving]
                changed = await operations.change_replicas(
                    ReplicaChange.UNDRAIN, leaving or chosen, grace_s=None, dry_run=False
                )
                for one in changed:
                    self.trace(f"{one.replica_id} {one.outcome}")
            case "cordon" | "uncordon" if chosen:
                change_to = ReplicaChange.CORDON if act == "cordon" else ReplicaChange.UNCORDON
                await operations.change_replicas(change_to, chosen, grace_s=None, dry_run=False)

    async def _promote(self, life: ControllerLife, name: str, deadline_s: float | None) -> None:
        if deadline_s is not None:
            # At the earliest. The promotion may wait for a ready replica, and then the deadline counts from there.
            for one in self._deployments:
                if one.deployment_id != name:
                    self._allow(one.deployment_id, deadline_s / 2)
        self._forbid(name)
        outcome = await life.operations.promote(
            name, "", deadline_s=deadline_s, at_once=self.random.random() < 0.3, dry_run=False
        )
        self.trace(f"{name} is promoted, pending {outcome.pending}")

    def _allow(self, key: str, after_s: float) -> None:
        self.checks.deadlines.setdefault(key, []).append(Deadline(self.now + after_s))

    def _forbid(self, deployment_id: str) -> None:
        """From now on an operator wants the deployment; what still leaves keeps the end that it was told."""
        for deadline in self.checks.deadlines.pop(deployment_id, []):
            for process in self.machine.alive():
                if process.deployment_id == deployment_id:
                    self.checks.deadlines.setdefault(process.replica_id, []).append(deadline)

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
        await self._ask(life, self._reset(life))
        await pause(RECOVERS_S)
        self.checks.settled()

    async def _reset(self, life: ControllerLife) -> None:
        operations = life.operations
        await operations.pause("", False)
        for deployment in self._deployments:
            await operations.scale(deployment.deployment_id, None, dry_run=False)
        cordoned = [replica.replica_id for replica in life.registry.replicas() if replica.cordoned]
        await operations.change_replicas(ReplicaChange.UNCORDON, cordoned, grace_s=None, dry_run=False)

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
        self.checks.settled()

    async def _empty(self) -> None:
        self.trace("everybody leaves")
        for edge in self.edges:
            for client in list(edge.clients):
                client.leave(self.random.choice(list(Leaving)))
        # One replica goes after the other, and the longest delay is 10 s.
        await pause(80.0)
        self.checks.emptied()
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
            mock.patch("penstock_runner.replica.resident_bytes", lambda: 0),
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
