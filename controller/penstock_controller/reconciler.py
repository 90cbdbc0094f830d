"""Makes the world match what is wanted: the one place that starts and ends replicas.

Every event (a report, an exit, a request of an operator) only changes the registry, the fleet or the store and wakes
the loop; the loop decides and acts. So there is one order of things, and no decision is made on half of a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from penstock_controller.actuators.base import Actuator, ReplicaProcess
from penstock_controller.actuators.builds import BuildEngine
from penstock_controller.building import Builds
from penstock_controller.chains.peers import ChainPeers
from penstock_controller.chains.retiring import retire_orphans
from penstock_controller.creating import Creations
from penstock_controller.errors import UnknownDeploymentError
from penstock_controller.fleet import Place
from penstock_controller.lifecycle import Lifecycle
from penstock_controller.operations import Operations, slots_of
from penstock_controller.promotions import Promotions
from penstock_controller.records import (
    EdgeReport,
    ProcessState,
    Registration,
    ReplicaReport,
    ReplicaState,
    Subscription,
)
from penstock_controller.registry import Registry
from penstock_controller.scaler import Scaler
from penstock_controller.sessions import RunnerSession
from penstock_controller.snapshots import SnapshotPublisher
from penstock_controller.store import Store
from penstock_controller.tasks import TaskSet
from penstock_controller.world import World

WAKE_MAX_S = 1.0
"""Longest sleep of the loop: a bound on how long anything that did not wake it is left undone."""

LOOK_INTERVAL_S = 0.02
"""Least time between two rounds of the loop, so that a burst of reports is one round."""

BUSY_SHARE = 5
"""A round is followed by a pause of at least so many times what it took …"""

LOOK_PAUSE_MAX_S = 0.2
"""… but not of more than this: streams that wait for a first replica wait for it, too."""

log = structlog.get_logger("controller")


class Reconciler:
    """Takes in events, and runs the loop of one controller life."""

    def __init__(
        self,
        *,
        registry: Registry,
        store: Store,
        actuator: Actuator,
        clock: Callable[[], float],
        wall: Callable[[], float],
        look_interval_s: float = LOOK_INTERVAL_S,
        builds: BuildEngine | None = None,
    ) -> None:
        self.world = World(registry=registry, store=store, actuator=actuator, clock=clock, wall=wall)
        self.world.on_change = self._changed
        self.registry = registry
        self.publisher = SnapshotPublisher(registry, clock)
        self.scaler = Scaler(self.world)
        self._promotions = Promotions(self.world)
        self._acting = asyncio.Lock()
        """Held while the world is changed, so that an operator's request falls between two rounds of the loop."""
        self.operations = Operations(self.world, self._promotions, self._acting)
        self.creations = Creations(self.world, self._promotions, self._acting)
        self._lifecycle = Lifecycle(self.world)
        self._builds = Builds(self.world, builds)
        self._peers = ChainPeers(self.world)
        self._clock = clock
        self._look_interval_s = look_interval_s
        self._wake = asyncio.Event()
        self._tasks = TaskSet()

    # Life.

    async def open(self) -> None:
        """Takes over the replicas of an earlier controller life, and begins to act."""
        now, world = self._clock(), self.world
        await world.actuator.open(self._lifecycle.exited)
        world.load_state()
        alive = {process.replica_id: process for process in await world.actuator.list()}
        for place in world.store.places():
            await self._restore(place, alive, now)
        for process in alive.values():
            # In no place: it was draining, or its place was given up, when the earlier controller ended.
            if world.fleet.place_of(process.replica_id) is None:
                world.fleet.add_leaver(process.replica_id, process.deployment_id)
            self.registry.expect(
                process.replica_id,
                process.deployment_id,
                ProcessState.RUNNING,
                pid=process.pid,
                started_wall=process.started_wall,
                now=now,
            )
        for replica_id in world.store.cordons():
            if self.registry.replica(replica_id) is None:
                world.store.put_cordon(replica_id, False)
            self.registry.cordon(replica_id, True)
        await self._builds.open()
        self._tasks.start(self.publisher.run(), name="publish-snapshots")
        self._tasks.start(self._run(), name="reconcile")

    async def close(self) -> None:
        """Stops acting. Replicas go on; the next controller adopts them."""
        await self._tasks.cancel()
        await self._builds.close()
        await self.world.stopper.close()
        self.world.flush_places()
        await self.world.actuator.close()

    # Runners.

    def attach(self, registration: Registration, session: RunnerSession) -> None:
        """A runner has opened its call.

        Raises:
            UnknownDeploymentError: Its deployment is not of this controller.
            ControllerError: See Registry.attach.
        """
        world, replica_id = self.world, registration.replica_id
        deployment = world.deployments.get(registration.deployment_id)
        if deployment is None and self.registry.replica(replica_id) is None:
            raise UnknownDeploymentError(
                f"deployment {registration.deployment_id} of replica {replica_id} is not known to this controller"
            )
        self.registry.attach(registration, session.number, self._clock())
        world.sessions.opened(replica_id, session)
        if world.fleet.place_of(replica_id) is not None and world.actuator.adopt(
            replica_id, registration.deployment_id, registration.pid, registration.pid_start_ticks
        ):
            self.registry.watched(replica_id)
        if deployment is not None and registration.report.stream_capacity not in (0, slots_of(deployment)):
            world.sessions.set_capacity(replica_id, slots_of(deployment))
        self._peers.attached(registration.deployment_id, session)
        self._heard(replica_id)
        log.info("replica_attached", replica=replica_id, address=registration.address, pid=registration.pid)
        self.changed()

    def report(self, replica_id: str, session: RunnerSession, report: ReplicaReport) -> None:
        if self.registry.report(replica_id, session.number, report, self._clock()):
            self._heard(replica_id)
            self.changed()

    def detach(self, replica_id: str, session: RunnerSession) -> None:
        self.world.sessions.closed(replica_id, session)
        if self.registry.detach(replica_id, session.number):
            log.warning("replica_detached", replica=replica_id)
            self.world.actuator.check(replica_id)
            self.changed()

    def drain_answered(self, replica_id: str, drain_id: str, accepted: bool, active_streams: int) -> None:
        """A runner has answered a drain."""
        log.info("drain_answered", replica=replica_id, drain=drain_id, accepted=accepted, active_streams=active_streams)
        removal = self.world.removals.answered(replica_id, drain_id, accepted)
        if removal is not None:
            self.scaler.removed(removal)
        else:
            self._heard(replica_id)
        self.changed()

    def unreachable(self, replica_id: str) -> None:
        """An edge could not reach the replica."""
        if self.registry.unreachable(replica_id, self._clock()):
            self.world.actuator.check(replica_id)

    def changed(self) -> None:
        """Something happened that may need an action or a new snapshot."""
        self.world.changed()

    # Edges.

    def edge_connected(self, subscription: Subscription, session: int) -> int | None:
        """An edge has opened its call. See EdgeTable.connected."""
        replaced = self.registry.edges.connected(subscription, session, self._clock())
        self._changed()
        return replaced

    def edge_reported(self, edge_id: str, session: int, report: EdgeReport) -> None:
        self._demand_changed(self.registry.edges.reported(edge_id, session, report, self._clock()))
        if report.draining:
            # Chains are told of the others.
            self._wake.set()

    def edge_gone(self, edge_id: str, session: int) -> None:
        self._demand_changed(self.registry.edges.gone(edge_id, session))
        self._wake.set()

    # The loop.

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            began = self._clock()
            try:
                async with self._acting:
                    wake_at = await self._step()
            except Exception:
                # The loop is all that keeps replicas alive; one bad round must not end it.
                log.exception("reconcile_failed")
                wake_at = self._clock() + WAKE_MAX_S
            took_s = self._clock() - began
            pause = min(WAKE_MAX_S, max(0.0, wake_at - self._clock()))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            # However many replicas there are, reports and answers get their share of the loop.
            await asyncio.sleep(max(self._look_interval_s, min(LOOK_PAUSE_MAX_S, took_s * BUSY_SHARE)))

    async def _step(self) -> float:
        """One round. Returns when the next is due at the latest."""
        now, world = self._clock(), self.world
        version = self.registry.version
        for replica_id in self.registry.expire(now):
            self._lifecycle.lost(replica_id, now)
        for replica_id in world.removals.expire(now):
            self._heard(replica_id)
        self._promotions.step()
        self._promotions.drain_left_over()
        self._builds.step()
        self._peers.step()
        retire_orphans(world)
        changed = self.registry.take_changed()
        changed |= _needed(world, changed)
        wake_at = [now + WAKE_MAX_S, *world.removals.deadlines()]
        for deployment in list(world.deployments.values()):
            deployment_id = deployment.deployment_id
            scaling = world.scaling(deployment_id)
            due_at = scaling.look_again_at
            if deployment_id in changed or scaling.latest is None or (due_at is not None and due_at <= now):
                self.scaler.look(deployment, now)
            if scaling.look_again_at is not None:
                wake_at.append(scaling.look_again_at)
            for place in world.fleet.due(deployment_id, now) if deployment.build.is_over else ():
                await self._lifecycle.start(deployment, place)
            if deployment.retired and world.fleet.is_empty(deployment_id):
                world.forget(deployment)
        if not self.registry.recovering:
            for replica_id in world.fleet.leavers():
                if not world.stopper.is_stopping(replica_id):
                    world.stopper.request(replica_id, None)
        world.flush_places()
        wake_at += [at for at in (world.fleet.next_start_at(), self.registry.next_deadline(now)) if at is not None]
        if self.registry.version != version:
            self.publisher.changed()
        return min(wake_at)

    # Inside.

    def _heard(self, replica_id: str) -> None:
        """Keeps places in step with what a runner has told."""
        replica = self.registry.replica(replica_id)
        if replica is None:
            return
        self.world.load.heard(replica)
        if replica.state is ReplicaState.READY:
            self.world.fleet.ready(replica_id)
            self._note_first_ready(replica.deployment_id)
        elif replica.is_leaving and not self.world.removals.is_asked(replica_id):
            # The status of one that was asked may overtake its answer; it gives up its place with the answer.
            self.world.leave(replica_id)

    def _note_first_ready(self, deployment_id: str) -> None:
        deployment = self.world.deployments.get(deployment_id)
        if deployment is not None and deployment.ready_wall is None:
            self.world.put_deployment(replace(deployment, ready_wall=self.world.wall()))

    def _demand_changed(self, deployment_ids: set[str]) -> None:
        if deployment_ids:
            for deployment_id in deployment_ids:
                self.registry.touch(deployment_id)
            self._wake.set()

    def _changed(self) -> None:
        self.publisher.changed()
        self._wake.set()

    async def _restore(self, place: Place, alive: Mapping[str, ReplicaProcess], now: float) -> None:
        replica_id = place.replica_id
        if place.occupied and replica_id is not None:
            if replica_id in alive:
                place.restarts = place.restarts.adopted(now)
            elif await self.world.actuator.may_have_started(replica_id):
                place.restarts = place.restarts.adopted(now)
                self.registry.expect(replica_id, place.deployment_id, ProcessState.UNKNOWN, now=now)
            else:
                place.restarts = place.restarts.vacated()
        self.world.fleet.restore(place)


def _needed(world: World, changed: set[str]) -> set[str]:
    """Returns the deployments that stay only as long as those that have changed may call them."""
    callees = {callee for deployment_id in changed for callee in world.chains.callees(deployment_id)}
    return {callee for callee in callees if world.deployments[callee].superseded}
