"""Makes the world match what is wanted: the one place that starts and ends replicas.

Every event (a report, an exit, a request of an operator) only changes the registry, the fleet or the store and wakes
the loop; the loop decides and acts. So there is one order of things, and no decision is made on half of a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from penstock_controller.actuators.base import Actuator, ReplicaExit, ReplicaProcess, ReplicaSpec, StartError
from penstock_controller.bell import Bell
from penstock_controller.errors import UnknownDeploymentError
from penstock_controller.exits import judge_exit
from penstock_controller.fleet import Fleet, Place
from penstock_controller.identifiers import new_replica_id
from penstock_controller.policy import Observation, PolicyState, ReplicaObservation, ScalingConfig, decide
from penstock_controller.records import (
    Deployment,
    EdgeReport,
    ProcessState,
    Registration,
    ReplicaReport,
    ReplicaState,
    ScaleDecision,
    Subscription,
)
from penstock_controller.registry import Registry
from penstock_controller.restarts import ExitKind
from penstock_controller.sessions import RunnerSession, RunnerSessions
from penstock_controller.snapshots import SnapshotPublisher
from penstock_controller.stopping import Stopper
from penstock_controller.store import Event, Store
from penstock_controller.tasks import TaskSet

WAKE_MAX_S = 1.0
"""Longest sleep of the loop: a bound on how long anything that did not wake it is left undone."""

log = structlog.get_logger("controller")


class Reconciler:
    """Owns the registry, the fleet and the store of one controller life."""

    def __init__(
        self,
        *,
        registry: Registry,
        store: Store,
        actuator: Actuator,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.registry = registry
        self.fleet = Fleet()
        self.sessions = RunnerSessions(registry.epoch)
        self.publisher = SnapshotPublisher(registry, clock)
        self.decisions: dict[str, ScaleDecision] = {}
        self._store = store
        self._actuator = actuator
        self._clock = clock
        self._wall = wall
        self._changes = Bell()
        self._stopper = Stopper(registry, self.sessions, actuator, self._changes, clock)
        self._deployments: dict[str, Deployment] = {}
        self._targets: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._acting = asyncio.Lock()
        """Held while the world is changed, so that an operator's request falls between two rounds of the loop."""
        self._tasks = TaskSet()

    @property
    def deployments(self) -> list[Deployment]:
        return list(self._deployments.values())

    @property
    def actuator(self) -> Actuator:
        return self._actuator

    @property
    def targets(self) -> Mapping[str, int]:
        return self._targets

    # Life.

    async def open(self) -> None:
        """Takes over the replicas of an earlier controller life, and begins to act."""
        now = self._clock()
        await self._actuator.open(self._replica_exited)
        for deployment_id, (target, decision) in self._store.decisions().items():
            self._targets[deployment_id] = target
            if decision is not None:
                self.decisions[deployment_id] = decision
        self._load_deployments()
        alive = {process.replica_id: process for process in await self._actuator.list()}
        for place in self._store.places():
            await self._restore(place, alive, now)
        for process in alive.values():
            # In no place: it was draining, or its place was given up, when the earlier controller ended.
            if self.fleet.place_of(process.replica_id) is None:
                self.fleet.add_leaver(process.replica_id, process.deployment_id)
            self.registry.expect(
                process.replica_id,
                process.deployment_id,
                ProcessState.RUNNING,
                pid=process.pid,
                started_wall=process.started_wall,
                now=now,
            )
        self._tasks.start(self.publisher.run(), name="publish-snapshots")
        self._tasks.start(self._run(), name="reconcile")

    async def close(self) -> None:
        """Stops acting. Replicas go on; the next controller adopts them."""
        await self._tasks.cancel()
        await self._stopper.close()
        await self._actuator.close()

    # Runners.

    def attach(self, registration: Registration, session: RunnerSession) -> None:
        """A runner has opened its call.

        Raises:
            UnknownDeploymentError: Its deployment is not of this controller.
            ControllerError: See Registry.attach.
        """
        replica_id = registration.replica_id
        if registration.deployment_id not in self._deployments and self.registry.replica(replica_id) is None:
            raise UnknownDeploymentError(
                f"deployment {registration.deployment_id} of replica {replica_id} is not known to this controller"
            )
        self.registry.attach(registration, session.number, self._clock())
        self.sessions.opened(replica_id, session)
        if self.fleet.place_of(replica_id) is not None and self._actuator.adopt(
            replica_id, registration.deployment_id, registration.pid, registration.pid_start_ticks
        ):
            self.registry.watched(replica_id)
        log.info("replica_attached", replica=replica_id, address=registration.address, pid=registration.pid)
        self.changed()

    def report(self, replica_id: str, session: RunnerSession, report: ReplicaReport) -> None:
        if self.registry.report(replica_id, session.number, report, self._clock()):
            self.changed()

    def detach(self, replica_id: str, session: RunnerSession) -> None:
        self.sessions.closed(replica_id, session)
        if self.registry.detach(replica_id, session.number):
            log.warning("replica_detached", replica=replica_id)
            self._actuator.check(replica_id)
            self.changed()

    def unreachable(self, replica_id: str) -> None:
        """An edge could not reach the replica."""
        if self.registry.unreachable(replica_id, self._clock()):
            self._actuator.check(replica_id)

    def changed(self) -> None:
        """Something happened that may need an action or a new snapshot."""
        self._changes.ring()
        self.publisher.changed()
        self._wake.set()

    # Edges.

    def edge_connected(self, subscription: Subscription, session: int) -> int | None:
        """An edge has opened its call. See Registry.edge_connected."""
        return self.registry.edge_connected(subscription, session, self._clock())

    def edge_reported(self, edge_id: str, session: int, report: EdgeReport) -> None:
        if self.registry.edge_reported(edge_id, session, report, self._clock()):
            self._wake.set()

    def edge_gone(self, edge_id: str, session: int) -> None:
        self.registry.edge_gone(edge_id, session)
        self._wake.set()

    # Operators.

    async def apply(self, deployments: Sequence[Deployment], *, prune: bool) -> None:
        """Creates deployments or changes how many replicas are wanted, and points environments at them."""
        async with self._acting:
            with self._store.transaction():
                for deployment in deployments:
                    self._store.put_deployment(deployment)
                    for environment in deployment.environments:
                        self._store.point_environment(deployment.name, environment, deployment.deployment_id)
                if prune:
                    kept = {deployment.deployment_id for deployment in deployments}
                    for deployment_id in self._deployments.keys() - kept:
                        self._store.retire_deployment(deployment_id)
            for deployment in deployments:
                self._event("deployment_applied", f"{deployment.replicas} replicas", deployment.deployment_id)
            self._load_deployments()
        self.changed()

    async def stop_all(self, grace_s: float) -> tuple[int, int]:
        """Ends every replica and starts none until deployments are applied again.

        Returns how many replicas ended and how many streams were cut.
        """
        async with self._acting:
            self._store.stop_deployments()
            self._load_deployments()
            for place in self.fleet.all_places():
                if place.occupied and place.replica_id is not None:
                    self.fleet.leave(place.replica_id)
            deadline = self._clock() + grace_s
            stops = [self._stopper.request(replica_id, deadline) for replica_id in self.fleet.leavers()]
        self._event("replicas_stopped", f"{len(stops)} replicas, grace {grace_s:g} s")
        self.changed()
        # Shielded: a caller that gives up must not leave replicas half ended.
        cut = [await asyncio.shield(stop) for stop in stops]
        return len(stops), sum(cut)

    # The loop.

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                async with self._acting:
                    wake_at = await self._step()
            except Exception:
                # The loop is all that keeps replicas alive; one bad round must not end it.
                log.exception("reconcile_failed")
                wake_at = self._clock() + WAKE_MAX_S
            pause = min(WAKE_MAX_S, max(0.0, wake_at - self._clock()))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _step(self) -> float:
        """One round. Returns when the next is due at the latest."""
        now = self._clock()
        version = self.registry.version
        for replica_id in self.registry.expire(now):
            self._replica_lost(replica_id, now)
        for replica in self.registry.replicas():
            if replica.state is ReplicaState.READY:
                self.fleet.ready(replica.replica_id)
            elif replica.state is ReplicaState.DRAINING and (place := self.fleet.leave(replica.replica_id)):
                self._save_places(place.deployment_id)
        wake_at = [now + WAKE_MAX_S]
        for deployment in self.deployments:
            again_at = self._scale(deployment, now)
            if again_at is not None:
                wake_at.append(again_at)
            for place in self.fleet.due(deployment.deployment_id, now):
                await self._start(deployment, place)
            if deployment.retired and self.fleet.is_empty(deployment.deployment_id):
                self._forget(deployment)
        if not self.registry.recovering:
            for replica_id in self.fleet.leavers():
                self._stopper.request(replica_id, None)
        wake_at += [at for at in (self.fleet.next_start_at(), self.registry.next_deadline(now)) if at is not None]
        if self.registry.version != version:
            self.publisher.changed()
        return min(wake_at)

    def _scale(self, deployment: Deployment, now: float) -> float | None:
        deployment_id = deployment.deployment_id
        seated = [p.replica_id for p in self.fleet.places(deployment_id) if p.occupied and p.replica_id]
        replicas = [r for r in (self.registry.replica(replica_id) for replica_id in seated) if r is not None]
        observation = Observation(
            replicas=[
                ReplicaObservation(
                    r.replica_id, r.state, r.active_streams, r.stream_capacity, r.suspect, now - r.known_at
                )
                for r in replicas
            ],
            waiting_streams=self.registry.waiting_streams(deployment_id, now),
        )
        before = self._targets.get(deployment_id, 0)
        config = ScalingConfig(deployment.replicas, deployment.stopped, deployment.retired)
        decision = decide(config, PolicyState(before), observation, now)
        last = self.decisions.get(deployment_id)
        if last is None or decision.target != before or decision.reason.rule != last.rule:
            self._record(deployment_id, decision.reason.rule, decision.reason.text, before, decision.target)
        # During recovery nothing is ended: what looks like too many may be a replica that has not come back yet.
        victims = () if self.registry.recovering else decision.victims
        if victims or len(self.fleet.places(deployment_id)) != decision.target:
            self.fleet.resize(deployment_id, decision.target, victims)
            for replica_id in victims:
                self.registry.order_drain(replica_id)
            self._save_places(deployment_id)
        return decision.evaluate_again_at

    async def _start(self, deployment: Deployment, place: Place) -> None:
        replica_id = new_replica_id(deployment.deployment_id)
        self.fleet.occupy(place, replica_id, self._clock())
        # The intent is stored first: should this process die in between, the next one waits for the replica to appear
        # instead of starting a second.
        self._save_places(deployment.deployment_id)
        environment = deployment.environments[0] if deployment.environments else ""
        spec = ReplicaSpec(replica_id, deployment.deployment_id, deployment.name, environment, deployment.source)
        try:
            process = await self._actuator.ensure(spec)
        except StartError as exc:
            self.fleet.exited(replica_id, ExitKind.LOAD_FAILURE, str(exc), self._clock())
            self._save_places(deployment.deployment_id)
            self._event("replica_not_started", str(exc), deployment.deployment_id, replica_id)
            log.error("replica_not_started", replica=replica_id, reason=str(exc))
            return
        self.registry.started(
            replica_id,
            deployment.deployment_id,
            pid=process.pid,
            started_wall=process.started_wall or self._wall(),
            now=self._clock(),
        )
        text = f"process {process.pid}, start {place.restarts.starts} of place {place.index}"
        self._event("replica_started", text, deployment.deployment_id, replica_id)
        log.info("replica_started", replica=replica_id, pid=process.pid, restarts=place.restarts.restarts)

    # Ends.

    def _replica_exited(self, ended: ReplicaExit) -> None:
        replica = self.registry.process_gone(ended.replica_id)
        kind, message = judge_exit(replica, ended)
        leaver = self.fleet.leavers().get(ended.replica_id)
        place = self.fleet.exited(ended.replica_id, kind, message, self._clock())
        deployment_id = place.deployment_id if place else leaver
        if place is not None:
            self._save_places(place.deployment_id)
            next_start_at = place.restarts.next_start_at or self._clock()
            log.warning(
                "replica_exited",
                replica=ended.replica_id,
                kind=kind.value,
                status=ended.status,
                failures=place.restarts.failures,
                restart_in_s=round(next_start_at - self._clock(), 3),
            )
        else:
            log.info("replica_ended", replica=ended.replica_id, status=ended.status)
        self._event("replica_exited" if place else "replica_ended", message, deployment_id, ended.replica_id)
        self.changed()

    def _replica_lost(self, replica_id: str, now: float) -> None:
        self.registry.process_gone(replica_id)
        message = "nothing was heard of it for longer than its lease"
        place = self.fleet.exited(replica_id, ExitKind.CRASH, message, now)
        if place is not None:
            self._save_places(place.deployment_id)
        self._event("replica_lost", message, place.deployment_id if place else None, replica_id)
        log.warning("replica_lost", replica=replica_id)

    def _forget(self, deployment: Deployment) -> None:
        deployment_id = deployment.deployment_id
        self._store.delete_deployment(deployment_id)
        self.fleet.forget(deployment_id)
        self._targets.pop(deployment_id, None)
        self.decisions.pop(deployment_id, None)
        self._load_deployments()
        self._event("deployment_removed", "its last replica has ended", deployment_id)

    # Inside.

    async def _restore(self, place: Place, alive: Mapping[str, ReplicaProcess], now: float) -> None:
        replica_id = place.replica_id
        if place.occupied and replica_id is not None:
            if replica_id in alive:
                place.restarts = place.restarts.adopted(now)
            elif await self._actuator.may_have_started(replica_id):
                place.restarts = place.restarts.adopted(now)
                self.registry.expect(replica_id, place.deployment_id, ProcessState.UNKNOWN, now=now)
            else:
                place.restarts = place.restarts.vacated()
        self.fleet.restore(place)

    def _load_deployments(self) -> None:
        self._deployments = {d.deployment_id: d for d in self._store.deployments()}
        self.registry.set_deployments(self._deployments.values())

    def _record(self, deployment_id: str, rule: str, reason: str, before: int, after: int) -> None:
        decision = ScaleDecision(rule, reason, self._wall(), before, after)
        self.decisions[deployment_id] = decision
        self._targets[deployment_id] = after
        self._store.put_decision(deployment_id, decision)
        self._event("scale_decided", f"{before} -> {after}: {rule}: {reason}", deployment_id)
        log.info("scale_decided", deployment=deployment_id, rule=rule, before=before, after=after)

    def _save_places(self, deployment_id: str) -> None:
        self._store.put_places(deployment_id, self.fleet.places(deployment_id))

    def _event(self, kind: str, text: str, deployment_id: str | None = None, replica_id: str | None = None) -> None:
        self._store.add_event(Event(self._wall(), kind, text, deployment_id, replica_id))
