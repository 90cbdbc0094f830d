"""The controller of the simulation: what it has heard, the places of the deployment, snapshots, and the autoscaler.

Pure. It starts replicas with the production back-off, asks idle victims whether they go, and drains or cuts the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_controller.records import ReplicaState
from penstock_controller.restarts import ExitKind, Restarts
from penstock_controller.scaling.observation import Observation, ReplicaObservation
from penstock_controller.simulate.autoscaler import Autoscaler, Look
from penstock_controller.simulate.edge import Route, SimulatedEdge, Snapshot, Stream
from penstock_controller.simulate.recording import Recorder
from penstock_controller.simulate.replica import InvariantError, ReplicaEvents, Report, SimulatedReplica
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.timeline import Timeline

if TYPE_CHECKING:
    from random import Random

INTERVAL_S = 0.05
"""Shortest time between two snapshots, and between two looks that changes cause."""

SNAPSHOT_HEARTBEAT_S = 2.0
"""Longest time between two snapshots."""

AGES_S = 1.0
"""What the autoscaler is told of the ages of replicas is at most so old. They are told as of one moment, so that their
order is right."""

CRASH_LOOP_FAILURES = 3
"""From so many failed starts in a row on, a place is said to fail again and again."""


@dataclass(slots=True, eq=False)
class Known:
    """A replica with a place, as the controller knows it."""

    replica: SimulatedReplica
    restarts: Restarts
    started_at: float
    state: ReplicaState = ReplicaState.STARTING
    active_streams: int = 0


class SimulatedController:
    """Knows one deployment.

    Args:
        random: draws cold starts and failures.
        cut: called with each stream that a removed replica held.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        autoscaler: Autoscaler,
        timeline: Timeline,
        recorder: Recorder,
        random: Random,
        cut: Callable[[Stream, str], None],
    ) -> None:
        self.replicas: dict[str, SimulatedReplica] = {}
        """All that run, draining ones included."""
        self.edges: Sequence[SimulatedEdge] = ()
        self._settings = settings
        self._autoscaler = autoscaler
        self._timeline = timeline
        self._recorder = recorder
        self._random = random
        self._cut = cut
        self._capacity = settings.scaling.max_concurrency
        self._known: dict[str, Known] = {}
        self._vacant: list[Restarts] = []
        """Places without a replica."""
        self._demand: dict[int, int] = {}
        self._cordoned: frozenset[str] = frozenset()
        self._asked: set[str] = set()
        """Victims that have not answered yet whether they go."""
        self._observed: dict[str, ReplicaObservation] = {}
        """What was told of the replicas that have not changed since."""
        self._ages_at = 0.0
        self._started = 0
        self._started_at = 0.0
        self._look_at: float | None = None
        self._looked_at = -INTERVAL_S
        self._routes: dict[str, Route] = {}
        self._changed_routes: set[str] = set()
        self._publish_at: float | None = None
        self._published_at = -INTERVAL_S
        self._events = ReplicaEvents(reported=self._reported, counted=self._counted, emptied=self._ended_by_itself)

    def begin(self) -> None:
        """Looks for the first time."""
        self._look_by(self._timeline.now)
        self._publish_by(self._timeline.now)

    # What it hears.

    def demand(self, edge: int, waiting: int) -> None:
        """An edge has told how many wait."""
        self._demand[edge] = waiting
        self._something_changed()

    def _reported(self, report: Report) -> None:
        known = self._known.get(report.replica_id)
        if known is not None:
            if report.state is not known.state:
                self._ages_at = -AGES_S  # how long a start took is told exactly
            known.state = report.state
            known.active_streams = report.active_streams
            self._observed.pop(report.replica_id, None)
            if report.state is ReplicaState.READY:
                known.restarts = known.restarts.ready()
        if report.replica_id in self._routes or (known is not None and report.state is ReplicaState.READY):
            self._route(report.replica_id, report)
        self._something_changed()

    def _something_changed(self) -> None:
        self._look_by(max(self._timeline.now, self._looked_at + INTERVAL_S))

    # Snapshots.

    def _route(self, replica_id: str, report: Report) -> None:
        self._routes[replica_id] = Route(
            replica_id,
            report.state is ReplicaState.READY,
            replica_id in self._cordoned,
            report.active_streams,
            self._capacity,
            self._timeline.now,
        )
        self._route_changed(replica_id)

    def _route_changed(self, replica_id: str) -> None:
        self._changed_routes.add(replica_id)
        self._publish_by(max(self._timeline.now, self._published_at + INTERVAL_S))

    def _publish_by(self, at: float) -> None:
        if self._publish_at is None or at < self._publish_at:
            self._publish_at = at
            self._timeline.at(at, self._publish, at)

    def _publish(self, at: float) -> None:
        if at != self._publish_at:
            return
        now = self._timeline.now
        snapshot = Snapshot(now, dict(self._routes), frozenset(self._changed_routes))
        self._changed_routes.clear()
        for edge in self.edges:
            self._timeline.after(self._settings.snapshot_delay_s, edge.deliver, snapshot)
        self._published_at = now
        self._publish_at = None
        self._publish_by(now + SNAPSHOT_HEARTBEAT_S)

    # Looks.

    def _look_by(self, at: float) -> None:
        if self._look_at is None or at < self._look_at:
            self._look_at = at
            self._timeline.at(at, self._look, at)

    def _look(self, at: float) -> None:
        if at != self._look_at:
            return
        self._look_at = None
        now = self._timeline.now
        self._looked_at = now
        self._recorder.record.looks += 1
        look = self._autoscaler.look(self._observe(now), now)
        self._check_target(look)
        if look.target != self._recorder.target:
            self._recorder.targets(now, look.target, look.rule)
        self._cordon(look.cordoned)
        for victim in look.victims:
            if victim.replica_id not in self._known:
                continue
            if victim.if_idle:
                self._ask(victim.replica_id, look.rule)
            else:
                self._leave(victim.replica_id)
        self._resize(look, now)
        self._start_due(now)
        again = [restarts.next_start_at for restarts in self._vacant if restarts.next_start_at is not None]
        if look.look_again_at is not None:
            again.append(look.look_again_at)
        if again:
            # A deadline that has passed must not make it look without end at one moment.
            self._look_by(max(min(again), now + 0.001))

    def _observe(self, now: float) -> Observation:
        if now - self._ages_at >= AGES_S or self._started_at > self._ages_at:
            self._ages_at = now
            self._observed.clear()
        observed = self._observed
        return Observation(
            replicas=[observed.get(replica_id) or self._tell(replica_id) for replica_id in self._known],
            vacant_places=len(self._vacant),
            crash_looping=self._crash_looping() if self._recorder.record.failed_starts else 0,
            waiting_streams=sum(self._demand.values()),
            removing=bool(self._asked),
        )

    def _crash_looping(self) -> int:
        starting = [known.restarts for known in self._known.values() if known.state is ReplicaState.STARTING]
        return sum(place.failures >= CRASH_LOOP_FAILURES for place in [*self._vacant, *starting])

    def _tell(self, replica_id: str) -> ReplicaObservation:
        known = self._known[replica_id]
        capacity = 0 if known.state is ReplicaState.STARTING else self._capacity
        told = ReplicaObservation(
            replica_id, known.state, known.active_streams, capacity, False, self._ages_at - known.started_at
        )
        self._observed[replica_id] = told
        return told

    def _check_target(self, look: Look) -> None:
        scaling = self._settings.scaling
        if not scaling.min_replica <= look.target <= max(scaling.max_replica, 1):
            raise InvariantError(
                f"{self._autoscaler.name} asks for {look.target} replicas, outside of "
                f"{scaling.min_replica} to {scaling.max_replica}"
            )

    def _cordon(self, cordoned: frozenset[str]) -> None:
        if cordoned == self._cordoned:
            return
        changed, self._cordoned = cordoned ^ self._cordoned, cordoned
        for replica_id in sorted(changed & self._routes.keys()):
            self._routes[replica_id] = self._routes[replica_id]._replace(is_cordoned=replica_id in cordoned)
            self._route_changed(replica_id)

    def _resize(self, look: Look, now: float) -> None:
        places = len(self._known) + len(self._vacant)
        if places < look.target:
            self._vacant.extend(Restarts() for _ in range(look.target - places))
            return
        surplus = places - look.target
        while surplus > 0 and self._vacant:
            self._vacant.pop()
            surplus -= 1
        if surplus > 0 and not look.victims:
            for replica_id in self._autoscaler.choose_victims(self._observe(now), surplus):
                self._leave(replica_id)

    # Starts.

    def _start_due(self, now: float) -> None:
        waiting = [restarts for restarts in self._vacant if not restarts.may_start(now)]
        due = [restarts for restarts in self._vacant if restarts.may_start(now)]
        self._vacant = waiting
        for restarts in due:
            self._start(restarts.started(now), now)

    def _start(self, restarts: Restarts, now: float) -> None:
        self._started += 1
        self._started_at = now
        replica_id = f"replica-{self._started}"
        delay = self._settings.report_delay_s
        replica = SimulatedReplica(replica_id, self._capacity, self._timeline, delay, self._events)
        self.replicas[replica_id] = replica
        self._known[replica_id] = Known(replica, restarts, now)
        # Both are drawn for every start, so that policies of a comparison meet the same luck in the same order.
        cold_start_s = self._settings.cold_start.draw(self._random)
        fails = self._random.random() < self._settings.failure_rate
        self._recorder.record.starts += 1
        self._recorder.replicas(now, starting=1)
        self._timeline.after(cold_start_s, self._started_or_failed, replica, fails)

    def _started_or_failed(self, replica: SimulatedReplica, fails: bool) -> None:
        if replica.is_gone:
            return
        now = self._timeline.now
        if not fails:
            self._recorder.replicas(now, starting=-1, ready=1)
            replica.load()
            return
        self._recorder.record.failed_starts += 1
        self._remove(replica, cut=False)
        known = self._known.pop(replica.replica_id, None)
        if known is not None:
            self._vacant.append(known.restarts.exited(ExitKind.LOAD_FAILURE, "did not load", now))
            self._something_changed()

    # Ends.

    def _ask(self, replica_id: str, rule: str) -> None:
        """Asks a replica to go if it is idle."""
        if replica_id in self._asked:
            return
        self._asked.add(replica_id)
        self._timeline.after(self._settings.report_delay_s, self._asked_now, replica_id, rule)

    def _asked_now(self, replica_id: str, rule: str) -> None:
        replica = self.replicas.get(replica_id)
        agreed = replica is not None and replica.is_ready and replica.drain(if_idle=True)
        if agreed and replica is not None:
            self._drains(replica)
        self._timeline.after(self._settings.report_delay_s, self._answered, replica_id, rule, agreed)

    def _answered(self, replica_id: str, rule: str, agreed: bool) -> None:
        self._asked.discard(replica_id)
        replica = self.replicas.get(replica_id)
        if agreed and replica is not None:
            if self._known.pop(replica_id, None) is not None:
                self._autoscaler.removed(replica_id)
                self._recorder.targets(self._timeline.now, max(0, self._recorder.target - 1), rule)
            self._remove(replica, cut=False)
        self._something_changed()

    def _leave(self, replica_id: str) -> None:
        """The replica gives its place up at once, and ends when it is empty or when its time is over."""
        known = self._known.pop(replica_id, None)
        if known is None:
            return
        replica = known.replica
        if not replica.is_ready:
            self._remove(replica, cut=False)
            return
        self._timeline.after(self._settings.report_delay_s, self._drain_now, replica)
        if self._autoscaler.cuts_streams:
            self._timeline.after(self._autoscaler.grace_s, self._cut_now, replica)

    def _drain_now(self, replica: SimulatedReplica) -> None:
        if replica.is_gone or replica.is_draining:
            return
        replica.drain(if_idle=False)
        self._drains(replica)
        if not replica.streams:
            self._remove(replica, cut=False)

    def _drains(self, replica: SimulatedReplica) -> None:
        self._recorder.replicas(self._timeline.now, ready=-1, draining=1)
        if len(replica.streams) == 1:
            self._recorder.single -= 1

    def _ended_by_itself(self, replica: SimulatedReplica) -> None:
        if replica.replica_id not in self._known:
            self._remove(replica, cut=False)

    def _cut_now(self, replica: SimulatedReplica) -> None:
        if not replica.is_gone:
            self._drain_now(replica)
            self._remove(replica, cut=True)

    def _remove(self, replica: SimulatedReplica, *, cut: bool) -> None:
        """The process ends now."""
        if replica.is_gone:
            return
        replica_id, now = replica.replica_id, self._timeline.now
        state = replica.state
        streams = replica.end(cut=cut)
        del self.replicas[replica_id]
        self._recorder.replicas(
            now,
            starting=-(state is ReplicaState.STARTING),
            ready=-(state is ReplicaState.READY),
            draining=-(state is ReplicaState.DRAINING),
        )
        if self._routes.pop(replica_id, None) is not None:
            self._route_changed(replica_id)
        for stream in streams:
            self._cut(stream, replica_id)

    def _counted(self, replica: SimulatedReplica, before: int) -> None:
        """The replica holds more or fewer streams than before."""
        if not replica.is_draining:
            single = (len(replica.streams) == 1) - (before == 1)
            if single:
                self._recorder.advance(self._timeline.now)
                self._recorder.single += single
