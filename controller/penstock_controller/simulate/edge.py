"""An edge of the simulation: the production placement, old snapshots, and a waiting line.

The order of things is that of the edge process: whoever comes while others wait goes to the end of the line; a replica
that refuses is marked and the next one is tried; a stream whose tries come to nothing has its place in the line back;
the line is woken by snapshots, by ends of streams, and when a replica that was left out may be tried again. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from penstock.candidate import ReplicaReport
from penstock.placement import Placement, PlacementStrategy
from penstock_controller.simulate.replica import HEARTBEAT_S, Refusal, SimulatedReplica
from penstock_controller.simulate.timeline import Timeline

DEPLOYMENT = "simulated"

GATHER_S = 0.02
"""Time for which changes are gathered into one status, as in the edge."""

STATUS_S = 1.0
"""Longest time until the controller hears of a change of the demand. It hears at once when a line begins or has
doubled, when a replica has refused, and after a snapshot."""

ALL_NEWS_S = 0.9
"""A snapshot is applied as a whole at least so often, and otherwise only where something has changed: the rest would
only refresh the age of reports, which the placement looks at with a grain of seconds."""

RETRY_SLACK_S = 0.001
"""The edge tries so long after a replica may be tried again."""


class StreamState(IntEnum):
    """Where a stream is; also an index, since states are counted at every event."""

    NEW = 0
    WAITING = 1
    TRYING = 2
    OPEN = 3
    ENDED = 4
    REFUSED = 5
    CUT = 6


class Stream:
    """One conversation of one client, or the rest of one that was cut."""

    __slots__ = ("arrived_at", "deadline", "duration", "edge", "ends_at", "position", "replica", "state", "tried")

    def __init__(self, edge: SimulatedEdge, arrived_at: float, duration: float) -> None:
        self.edge = edge
        self.arrived_at = arrived_at
        self.duration = duration
        self.state = StreamState.NEW
        self.position = 0
        """In the line; kept when tries come to nothing."""
        self.tried: set[str] | None = None
        """Replicas that have refused since the last wait."""
        self.deadline: float | None = None
        """Until when it waits; None before it has waited."""
        self.ends_at = 0.0
        self.replica: SimulatedReplica | None = None
        """The replica that it is tried on, or open on."""


class Route(NamedTuple):
    """A replica as the controller knows it."""

    replica_id: str
    is_ready: bool
    is_cordoned: bool
    active_streams: int
    stream_capacity: int
    received_at: float
    """When the last report that brought news came; those without news follow every HEARTBEAT_S."""

    def report(self, at: float) -> ReplicaReport:
        """Returns what a snapshot of the moment `at` says of it."""
        return ReplicaReport(
            self.replica_id,
            DEPLOYMENT,
            self.replica_id,
            self.is_ready,
            self.is_cordoned,
            self.active_streams,
            self.stream_capacity,
            (at - self.received_at) % HEARTBEAT_S,
        )


class Snapshot(NamedTuple):
    """What the controller has published."""

    built_at: float
    routes: Mapping[str, Route]
    changed: frozenset[str]
    """Replicas whose route is another one than in the snapshot before, those that are gone included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeEvents:
    """Who hears of an edge."""

    admitted: Callable[[Stream], None]
    refused: Callable[[Stream, StreamState], None]
    """It got no slot. The state is the one before: NEW when the line was full, else WAITING."""
    moved: Callable[[StreamState, StreamState], None]
    """A stream went from one state to another."""
    demand: Callable[[int, int], None]
    """The controller hears that so many wait at the edge of that number."""


class SimulatedEdge:
    """One edge process.

    Args:
        replicas: all that run, by id; the edge reaches those that its snapshot names.
    """

    def __init__(
        self,
        number: int,
        timeline: Timeline,
        placement: Placement,
        replicas: Mapping[str, SimulatedReplica],
        events: EdgeEvents,
        *,
        strategy: PlacementStrategy,
        edges: int,
        queue_timeout_s: float,
        queue_streams_max: int,
        network_delay_s: float,
        demand_delay_s: float,
    ) -> None:
        self.number = number
        self.placement = placement
        self._timeline = timeline
        self._replicas = replicas
        self._events = events
        self._strategy = strategy
        self._edges = edges
        self._queue_timeout_s = queue_timeout_s
        self._queue_streams_max = queue_streams_max
        self._network_delay_s = network_delay_s
        self._demand_delay_s = demand_delay_s
        self._line: list[Stream] = []
        """Those that wait, by position."""
        self._pending: Snapshot | None = None
        """The newest snapshot, until somebody needs it."""
        self._pending_at = 0.0
        self._changed: set[str] = set()
        """Replicas of which `_pending` has news."""
        self._all_renewed_at = -ALL_NEWS_S
        self._joined = 0
        """Streams that have waited so far."""
        self._demand_at: float | None = None
        """When the controller is told of the line; None when it knows."""
        self._told_at = 0.0
        self._demand_told = 0
        self._retry_at: float | None = None
        self._is_wake_due = False

    @property
    def waiting(self) -> int:
        return len(self._line)

    # What comes from outside.

    def arrive(self, stream: Stream) -> None:
        """A client wants a stream."""
        if self._line:
            self._wait(stream)
        else:
            self._attempt(stream)

    def deliver(self, snapshot: Snapshot) -> None:
        """A snapshot has arrived. It is applied when it is needed, which nobody can tell from at once."""
        self._pending, self._pending_at = snapshot, self._timeline.now
        self._changed |= snapshot.changed
        self._tell_by(self._pending_at + GATHER_S)
        if self._line:
            self._wake()

    def _apply(self) -> None:
        snapshot = self._pending
        if snapshot is None:
            return
        self._pending = None
        at, routes, now = snapshot.built_at, snapshot.routes, self._pending_at
        # A partial update removes no replica.
        whole = now - self._all_renewed_at >= ALL_NEWS_S or not self._changed <= routes.keys()
        if whole:
            self._all_renewed_at = now
            reports = [route.report(at) for route in routes.values()]
        else:
            reports = [routes[replica_id].report(at) for replica_id in sorted(self._changed)]
        self._changed.clear()
        self.placement.update(reports, now, is_partial=not whole, edge_count=self._edges)

    # Finding a slot.

    def _choose(self, tried: set[str] | None) -> str | None:
        self._apply()
        candidate = self.placement.choose(DEPLOYMENT, tried or (), self._timeline.now, self._strategy)
        return None if candidate is None else candidate.replica_id

    def _attempt(self, stream: Stream) -> None:
        replica_id = self._choose(stream.tried)
        if replica_id is None:
            self._wait(stream)
        else:
            self._try(stream, replica_id)

    def _try(self, stream: Stream, replica_id: str) -> None:
        self._move(stream, StreamState.TRYING)
        self.placement.opened(replica_id, self._timeline.now)
        self._timeline.after(self._network_delay_s, self._knock, stream, replica_id)

    def _knock(self, stream: Stream, replica_id: str) -> None:
        """The request is at the replica."""
        replica = self._replicas.get(replica_id)
        refusal = Refusal.GONE if replica is None else replica.admit(stream)
        if refusal is None:
            stream.replica = replica
            self._timeline.after(self._network_delay_s, self._accepted, stream, replica_id)
        else:
            self._timeline.after(self._network_delay_s, self._rejected, stream, replica_id, refusal)

    def _accepted(self, stream: Stream, replica_id: str) -> None:
        if stream.state is not StreamState.TRYING:
            return  # cut before the answer was here
        self._apply()
        self.placement.answered(replica_id)
        now = self._timeline.now
        stream.tried = None
        stream.ends_at = now + stream.duration
        self._move(stream, StreamState.OPEN)
        self._events.admitted(stream)
        self._timeline.at(stream.ends_at, self._end, stream)

    def _rejected(self, stream: Stream, replica_id: str, refusal: Refusal) -> None:
        self._apply()
        now, placement = self._timeline.now, self.placement
        placement.refused(replica_id, now)
        if refusal is Refusal.FULL:
            placement.full(replica_id, now)
        elif refusal is Refusal.DRAINING:
            placement.draining(replica_id, now)
        else:
            placement.unreachable(replica_id, now)
        if stream.tried is None:
            stream.tried = set()
        stream.tried.add(replica_id)
        self._tell_by(now + GATHER_S)
        self._attempt(stream)

    def _end(self, stream: Stream) -> None:
        """The conversation is over."""
        if stream.state is not StreamState.OPEN:
            return
        self._move(stream, StreamState.ENDED)
        replica, stream.replica = stream.replica, None
        assert replica is not None
        self._gone_from(replica.replica_id)
        self._timeline.after(self._network_delay_s, replica.release, stream)

    def cut(self, stream: Stream, replica_id: str) -> bool:
        """The replica has ended under the stream. Returns whether it was still going on."""
        stream.replica = None
        if stream.state not in (StreamState.OPEN, StreamState.TRYING):
            return False
        self._move(stream, StreamState.CUT)
        self._gone_from(replica_id)
        return True

    def _gone_from(self, replica_id: str) -> None:
        self._apply()
        self.placement.ended(replica_id, self._timeline.now)
        if self._line and not self._is_wake_due:
            self._is_wake_due = True
            self._timeline.after(0.0, self._wake)

    # The line.

    def _wait(self, stream: Stream) -> None:
        now = self._timeline.now
        if stream.deadline is None:
            if self._queue_timeout_s <= 0 or len(self._line) >= self._queue_streams_max:
                self._refuse(stream)
                return
            self._joined += 1
            stream.position = self._joined
            stream.deadline = now + self._queue_timeout_s
            self._timeline.at(stream.deadline, self._timeout, stream)
        elif now >= stream.deadline:
            self._refuse(stream)
            return
        self._move(stream, StreamState.WAITING)
        if self._line and self._line[-1].position > stream.position:
            insort(self._line, stream, key=_position)
        else:
            self._line.append(stream)
        doubled = len(self._line) & (len(self._line) - 1) == 0
        self._tell_by(now + GATHER_S if doubled else self._next_status_at())
        self._arm_retry()

    def _leave_line(self, stream: Stream) -> None:
        index = 0 if self._line[0] is stream else bisect_left(self._line, stream.position, key=_position)
        del self._line[index]
        self._tell_by(self._next_status_at())

    def _timeout(self, stream: Stream) -> None:
        if stream.state is StreamState.WAITING:
            self._leave_line(stream)
            self._refuse(stream)

    def _refuse(self, stream: Stream) -> None:
        before = StreamState.NEW if stream.deadline is None else StreamState.WAITING
        self._move(stream, StreamState.REFUSED)
        self._events.refused(stream, before)

    def _wake(self) -> None:
        """Lets those in front try, until there is nothing to try."""
        self._is_wake_due = False
        while self._line:
            stream = self._line[0]
            stream.tried = None
            replica_id = self._choose(None)
            if replica_id is None:
                break
            self._leave_line(stream)
            self._try(stream, replica_id)
        self._arm_retry()

    def _arm_retry(self) -> None:
        if not self._line:
            return
        due = self.placement.next_return(DEPLOYMENT, self._timeline.now)
        if due is not None and (self._retry_at is None or due < self._retry_at):
            self._retry_at = due
            self._timeline.at(due + RETRY_SLACK_S, self._retry, due)

    def _retry(self, due: float) -> None:
        if self._retry_at == due:
            self._retry_at = None
            self._wake()

    def _next_status_at(self) -> float:
        """When a status is due by itself; those that bring no news are no events here."""
        return self._timeline.now + STATUS_S - (self._timeline.now - self._told_at) % STATUS_S

    def _tell_by(self, at: float) -> None:
        """Has the controller told of the line by `at`, if it does not know its length."""
        if self.waiting == self._demand_told:
            return
        at = max(at, self._timeline.now)
        if self._demand_at is None or at < self._demand_at:
            self._demand_at = at
            self._timeline.at(at, self._tell_demand, at)

    def _tell_demand(self, at: float) -> None:
        if self._demand_at != at:
            return
        self._demand_at = None
        self._told_at = at
        if self.waiting != self._demand_told:
            self._demand_told = self.waiting
            self._timeline.after(self._demand_delay_s, self._events.demand, self.number, self.waiting)

    def _move(self, stream: Stream, state: StreamState) -> None:
        self._events.moved(stream.state, state)
        stream.state = state


def _position(stream: Stream) -> int:
    return stream.position
