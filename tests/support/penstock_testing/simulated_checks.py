"""What must hold on a simulated platform, at every moment and after a while of quiet. The processes are the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.close_codes import EndCode
from penstock_controller.actuators.base import ReplicaSpec
from penstock_controller.records import Deployment, ReplicaState
from penstock_testing.simulated_controller import ControllerLife
from penstock_testing.simulated_edge import Phase, SimulatedClient
from penstock_testing.simulated_runner import SimulatedProcess

if TYPE_CHECKING:
    from penstock_testing.simulated_platform import Platform

SETTLED_S = 1.0
"""Time in which a change at a replica reaches the controller: 50 ms of coalescing and the delay of the network."""

DISTURBED_S = 5.0
"""Time after the end of a partition in which one side may still take a call for alive that the other has given up."""

ORPHAN_S = 5.0
"""Time in which every attached replica has a place or leaves."""

KEEPALIVE_S = 25.0
"""Time after a partition in which a trunk may still break because of it."""

SLACK_S = 1.0
"""Imprecision of deadlines: delays of the network, and the time between two looks."""


@dataclass(slots=True)
class Deadline:
    """An operator has said when streams end."""

    not_before: float
    until: float | None = None
    """When that was taken back."""

    def allows(self, now: float) -> bool:
        return self.not_before - SLACK_S <= now and (self.until is None or now <= self.until + SLACK_S)


class Checks:
    """The invariants of one run."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.ended: Counter[str] = Counter()
        """Streams by the way in which they ended."""
        self.deadlines: dict[str, list[Deadline]] = {}
        """By replica or by deployment."""
        self._orphan_since: dict[str, float] = {}
        self._collected: list[str] | None = None

    def broken(self, what: str) -> None:
        if self._collected is None:
            self._platform.broken(what)
        else:
            self._collected.append(what)

    def collect(self, look: Callable[[], None]) -> list[str]:
        """Returns what a look finds, instead of telling at once."""
        collected = self._collected = []
        try:
            look()
        finally:
            self._collected = None
        return collected

    # Streams.

    def opened_total(self) -> int:
        return sum(self.ended[how] for how in self.ended if how != "refused") + sum(
            client.phase is Phase.OPEN for edge in self._platform.edges for client in edge.clients
        )

    def stream_over(self, client: SimulatedClient) -> None:
        """Tells why a stream is over, and whether that may be."""
        platform = self._platform
        if client.is_out_of_order:
            self.broken(f"stream on {client.replica_id} got its messages out of order")
        if client.opened_at is None:
            self.ended["refused"] += 1
            return
        process = platform.machine.processes[client.replica_id]
        code = None if client.closing is None else client.closing.code
        now = platform.now
        if client.is_leaving:
            how = "left"
        elif not client.edge.is_alive:
            how = "edge died"
        elif process.crashed_at is not None and code is EndCode.REPLICA_LOST:
            how = "replica crashed"
        elif code is EndCode.REPLICA_LOST and self._was_harmed(client.edge.node.name, process.node.name):
            how = "network broke"
        elif code in (EndCode.REPLICA_DRAINING, EndCode.REPLICA_LOST) and self.may_cut(process):
            how = "deadline"
        else:
            how = "cut"
            self.broken(
                f"stream on {client.replica_id} was cut: {code}, open since {client.opened_at:.3f},"
                f" crashed {process.crashed_at}, SIGTERM {process.is_terminated}"
            )
        self.ended[how] += 1
        platform.trace(f"stream on {client.replica_id} over: {how}, {now - client.opened_at:.1f} s")

    def _was_harmed(self, one: str, other: str) -> bool:
        at = self._platform.network.harmed_at.get(frozenset((one, other)))
        return at is not None and at >= self._platform.now - KEEPALIVE_S

    def may_cut(self, process: SimulatedProcess) -> bool:
        """Whether an operator has set an end to the streams of a replica."""
        deadlines = self.deadlines.get(process.replica_id, []) + self.deadlines.get(process.deployment_id, [])
        return any(deadline.allows(self._platform.now) for deadline in deadlines)

    # Acts of the controller.

    def check_stop(self, life: ControllerLife, process: SimulatedProcess) -> None:
        self._platform.trace(f"SIGTERM for {process.replica_id} with {process.active_streams} streams")
        if life is not self._platform.life:
            self.broken(f"a controller that is not in charge ends {process.replica_id}")
        if process.active_streams and not self.may_cut(process):
            self.broken(f"{process.replica_id} is ended with {process.active_streams} streams")
        is_adopted = process.started_at < life.opened_at and not process.is_terminated
        is_heard = process.attached_epoch == life.epoch
        if life.registry.recovering and is_adopted and not is_heard and not self.may_cut(process):
            self.broken(f"{process.replica_id} is ended before the controller has heard of it")

    def check_start(self, life: ControllerLife, spec: ReplicaSpec) -> None:
        self._platform.trace(f"start of {spec.replica_id}")
        if life is not self._platform.life:
            self.broken(f"a controller that is not in charge starts {spec.replica_id}")
        fleet, platform = life.world.fleet, self._platform
        leavers = fleet.leavers()
        for process in platform.machine.alive():
            known = fleet.place_of(process.replica_id) is not None or process.replica_id in leavers
            if process.deployment_id == spec.deployment_id and not known and not process.is_terminated:
                self.broken(f"{spec.replica_id} is started although {process.replica_id} lives, in no place")
        occupied = sum(place.occupied for place in fleet.places(spec.deployment_id))
        target = life.world.scaling(spec.deployment_id).state.target
        if occupied > target:
            self.broken(f"{spec.replica_id} is replica {occupied} of a target of {target}")

    def looked(self, life: ControllerLife, deployment: Deployment) -> None:
        """A look at a deployment has ended."""
        config = life.reconciler.scaler.config(deployment)
        target = life.world.scaling(deployment.deployment_id).state.target
        least, most = config.settings.min_replica, config.settings.max_replica
        if config.stopped or config.retired:
            least = most = 0
        elif config.manual_replicas is not None:
            least = most = config.manual_replicas
        elif config.paused:
            return
        elif config.superseded:
            least = 0
        if not least <= target <= most:
            self.broken(f"target of {deployment.deployment_id} is {target}, not {least} to {most}")
        places = sum(
            # One that an operator has just taken back counts only once it admits streams.
            place.replica_id is None
            or (replica := life.registry.replica(place.replica_id)) is None
            or replica.state is not ReplicaState.DRAINING
            for place in life.world.fleet.places(deployment.deployment_id)
        )
        if places > target and not life.registry.recovering:
            self.broken(f"{deployment.deployment_id} has {places} places with a target of {target}")

    # At any moment.

    def tick(self) -> None:
        """Looks at everything that needs no quiet."""
        platform = self._platform
        for edge in platform.edges:
            if edge.is_ready:
                if edge.plane.snapshot_epoch < edge.newest_epoch:
                    self.broken(f"{edge.edge_id} went back from epoch {edge.newest_epoch}")
                edge.newest_epoch = edge.plane.snapshot_epoch
                mine = sum(client.phase is Phase.OPEN for client in edge.clients)
                if edge.is_alive and edge.plane.active_streams > mine:
                    self.broken(f"{edge.edge_id} counts {edge.plane.active_streams} streams and has {mine} clients")
        life = platform.life
        if life is None or not life.is_ready or not life.is_alive:
            self._orphan_since.clear()
            return
        for process in platform.machine.alive():
            if self._is_heard(life, process):
                self._compare(life, process)
            self._look_for_orphan(life, process)

    def _is_heard(self, life: ControllerLife, process: SimulatedProcess) -> bool:
        settled = platform_now = self._platform.now
        settled -= SETTLED_S
        return (
            process.attached_at is not None
            and process.attached_at <= settled
            and process.attached_epoch == life.epoch
            and process.changed_at <= settled
            and not self._platform.network.is_cut(process.node, life.node)
            and not self._was_disturbed(process, life, platform_now)
        )

    def _was_disturbed(self, process: SimulatedProcess, life: ControllerLife, now: float) -> bool:
        at = self._platform.network.harmed_at.get(frozenset((process.node.name, life.node.name)))
        return at is not None and at > now - DISTURBED_S

    def _compare(self, life: ControllerLife, process: SimulatedProcess) -> None:
        replica = life.registry.replica(process.replica_id)
        if replica is None:
            self.broken(f"{process.replica_id} is attached and not known")
        elif replica.active_streams != process.active_streams:
            self.broken(
                f"{process.replica_id} holds {process.active_streams} streams, and {replica.active_streams} are counted"
            )

    def _look_for_orphan(self, life: ControllerLife, process: SimulatedProcess) -> None:
        fleet, replica_id = life.world.fleet, process.replica_id
        is_orphan = (
            process.attached_at is not None
            and process.attached_epoch == life.epoch
            and fleet.place_of(replica_id) is None
            and replica_id not in fleet.leavers()
        )
        if not is_orphan:
            self._orphan_since.pop(replica_id, None)
        elif self._platform.now - self._orphan_since.setdefault(replica_id, self._platform.now) > ORPHAN_S:
            self.broken(f"{replica_id} is attached, and neither has a place nor leaves")

    # After a while of quiet.

    def settled(self) -> None:
        """Nothing has failed and nobody has changed anything for long; streams may be open."""
        platform = self._platform
        life = platform.life
        assert life is not None
        world = life.world
        if life.registry.recovering:
            self.broken("the controller recovers for ever")
        for process in platform.machine.alive():
            self._compare(life, process)
        known = {replica.replica_id for replica in life.registry.replicas()}
        alive = {process.replica_id for process in platform.machine.alive()}
        if known != alive:
            self.broken(f"known and alive are not the same: {sorted(known ^ alive)}")
        for deployment in world.deployments.values():
            self._settled(life, deployment)
        for edge in platform.edges:
            clients = Counter(client.replica_id for client in edge.clients if client.phase is Phase.OPEN)
            for candidate in edge.plane.placement.candidates():
                if candidate.own != clients[candidate.replica_id]:
                    self.broken(
                        f"{edge.edge_id} counts {candidate.own} of its streams on {candidate.replica_id},"
                        f" and has {clients[candidate.replica_id]}"
                    )
        held = sum(process.active_streams for process in platform.machine.alive())
        open_streams = sum(client.phase is Phase.OPEN for edge in platform.edges for client in edge.clients)
        if held != open_streams:
            self.broken(f"{held} slots are held by {open_streams} streams")

    def _settled(self, life: ControllerLife, deployment: Deployment) -> None:
        world, now = life.world, self._platform.now
        decision = life.reconciler.scaler.preview(deployment, now)
        target = world.scaling(deployment.deployment_id).state.target
        if decision.target != target:
            self.broken(f"{deployment.deployment_id} stays at {target}, and its load asks for {decision.target}")
        for place in world.fleet.places(deployment.deployment_id):
            replica = None if place.replica_id is None else life.registry.replica(place.replica_id)
            if not place.occupied or replica is None or replica.state is not ReplicaState.READY or replica.suspect:
                state = None if replica is None else (replica.state, replica.suspect)
                self.broken(f"place {place.index} of {deployment.deployment_id} is {place.restarts.state}, {state}")

    def emptied(self) -> None:
        """Every client has left, and every delay is over."""
        life = self._platform.life
        assert life is not None
        self.settled()
        if leavers := life.world.fleet.leavers():
            self.broken(f"they leave without end: {sorted(leavers)}")
        for deployment in life.world.deployments.values():
            config = life.reconciler.scaler.config(deployment)
            settings = config.settings
            spare = -(-settings.buffer_slots // settings.max_concurrency)
            least = 0 if config.superseded else max(settings.min_replica, spare)
            target = life.world.scaling(deployment.deployment_id).state.target
            if target != least:
                reason = life.reconciler.scaler.preview(deployment, self._platform.now).reason
                self.broken(f"{deployment.deployment_id} keeps {target} idle replicas, and needs {least}: {reason}")
