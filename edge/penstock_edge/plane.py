"""The data plane of an edge process: what requests share on their way to a replica."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from penstock.api.control.v1 import control_pb2
from penstock.placement import Placement
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.open_streams import ClientStream, OpenStreams
from penstock_edge.routing import RoutingTable, replica_reports
from penstock_edge.trunks import Trunks
from penstock_edge.waiting import WaitingLines

if TYPE_CHECKING:
    from penstock_edge.request_call import RequestCall

WOKEN_PER_TURN = 32
"""Streams of one line that are tried in one turn of the loop, some milliseconds; data passes in between."""

FEEDBACK_MAX = 1000
"""Replicas whose feedback is kept for the controller; the oldest is dropped."""


class Flushable(Protocol):
    """A client's connection with output that waits for the end of the batch."""

    def flush(self) -> None:
        """Writes it to the socket."""


class DataPlane:
    """Routes, replicas, trunks and waiting lines, kept in step with the newest snapshot. Loop thread only."""

    def __init__(self, edge_id: str, metrics: EdgeMetrics) -> None:
        self.loop = asyncio.get_running_loop()
        self.edge_id = edge_id
        self.metrics = metrics
        self.table = RoutingTable()
        self.snapshot_epoch = 0
        self.snapshot_version = 0
        self.placement = Placement(random.SystemRandom().randrange)
        self.waiting = WaitingLines()
        self.trunks = Trunks(edge_id, after_batch=self.flush, on_go_away=self._go_away)
        self.dirty: list[Flushable] = []
        """Connections with output since the last flush, each once."""
        self.is_draining = False
        self.open_streams = OpenStreams(edge_id, self.now)
        """Changed by `stream_began` and `stream_over` only."""
        self.calls: set[RequestCall] = set()
        """Requests that are served, or wait for a slot."""
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._stream_prefix = edge_id + "-"
        self._stream_count = 0
        self._retry_timer: asyncio.TimerHandle | None = None
        self._retry_at: float | None = None
        self._to_wake: set[str] = set()
        """Deployments whose line is woken in the next turn of the loop."""
        self.stale_s: Callable[[], float] = lambda: 0.0
        """Time since the controller was heard last."""
        self._waiting_shown: set[str] = set()
        self._feedback: dict[str, control_pb2.PlacementOutcome.ValueType] = {}
        self.on_feedback: Callable[[], None] = lambda: None
        """Called when there is something to tell the controller at once."""

    def now(self) -> float:
        """Seconds on the loop's monotonic clock."""
        return self.loop.time()

    def next_stream_id(self) -> str:
        """Returns an id that no other stream in the system has."""
        self._stream_count += 1
        return f"{self._stream_prefix}{self._stream_count:x}"

    def flush(self) -> None:
        """Writes out what the last batch has brought."""
        if self.dirty:
            dirty, self.dirty = self.dirty, []
            for connection in dirty:
                connection.flush()

    def apply(self, snapshot: control_pb2.Snapshot) -> None:
        """Routes by `snapshot` from now on; one of an older controller is ignored."""
        if snapshot.epoch < self.snapshot_epoch:
            return
        if snapshot.epoch == self.snapshot_epoch and snapshot.version < self.snapshot_version:
            return
        self.snapshot_epoch, self.snapshot_version = snapshot.epoch, snapshot.version
        fresh = RoutingTable.from_snapshot(snapshot)
        if snapshot.partial:
            known = {deployment.id for deployment in fresh.deployments}
            fresh = RoutingTable(fresh.deployments + tuple(d for d in self.table.deployments if d.id not in known))
        self.table = fresh
        gone = self.placement.update(
            replica_reports(snapshot), self.now(), is_partial=snapshot.partial, edge_count=snapshot.edge_count
        )
        for replica_id in gone:
            self.trunks.drop_idle(replica_id)
        for candidate in list(self.placement.candidates()):
            if candidate.is_ready and candidate.ejected_until <= self.now():
                self.trunks.get(candidate.replica_id, candidate.address)
        self.wake_waiting()

    @property
    def active_streams(self) -> int:
        """Streams that are open."""
        return len(self.open_streams)

    def stream_began(self, stream: ClientStream) -> None:
        """A client has its stream."""
        self.open_streams.add(stream)
        self._is_idle.clear()

    def stream_over(self, stream: ClientStream) -> None:
        """A client's stream is over; the model's handler may still run."""
        self.open_streams.remove(stream)
        if not self.open_streams:
            self._is_idle.set()

    async def wait_idle(self, timeout_s: float) -> bool:
        """Waits until no stream is open; returns False when the time is over first."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    def stream_ended(self, deployment_id: str, replica_id: str) -> None:
        """A slot is free: whoever waits may try."""
        self.placement.ended(replica_id, self.now())
        if self.waiting.has(deployment_id):
            self.wake_soon(deployment_id)

    def wake_soon(self, deployment_id: str) -> None:
        """Lets those who wait for the deployment try: once per turn of the loop, however many reasons there are."""
        if not self._to_wake:
            self.loop.call_soon(self._wake)
        self._to_wake.add(deployment_id)

    def _wake(self) -> None:
        to_wake, self._to_wake = self._to_wake, set()
        for deployment_id in to_wake:
            if self.waiting.wake(deployment_id, WOKEN_PER_TURN):
                self.wake_soon(deployment_id)
        self._arm_retry()

    def wake_waiting(self) -> None:
        """Lets all waiting streams try."""
        for deployment_id in self.waiting.deployments():
            self.wake_soon(deployment_id)

    def line_grew(self, deployment_id: str) -> None:
        """One more waits. The controller is told at once of the first, and each time that a line has doubled."""
        length = self.waiting.length(deployment_id)
        if length & (length - 1) == 0:
            self.on_feedback()

    def _arm_retry(self) -> None:
        """Has waiting streams try when the next replica that is left out now may be tried again."""
        now = self.now()
        ends = [self.placement.next_return(key, now) for key in self.waiting.deployments()]
        due = min((value for value in ends if value is not None), default=None)
        if due == self._retry_at:
            return
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        # A timer of uvloop may fire up to a millisecond early.
        self._retry_timer = self.loop.call_at(due + 0.001, self._retry) if due is not None else None
        self._retry_at = due

    def _retry(self) -> None:
        self._retry_timer = self._retry_at = None
        self.wake_waiting()

    def publish_gauges(self) -> None:
        """Sets the metrics that are read off rather than counted."""
        demand = self.waiting.demand()
        for deployment_id in self._waiting_shown | demand.keys():
            self.metrics.waiting.labels(deployment_id).set(demand.get(deployment_id, (0, 0.0))[0])
        self._waiting_shown |= demand.keys()
        self.metrics.snapshot_age.set(self.stale_s())

    def met(self, replica_id: str, outcome: control_pb2.PlacementOutcome.ValueType) -> None:
        """An attempt to place a stream failed: the replica is marked here, and the controller is told."""
        now = self.now()
        if outcome == control_pb2.PLACEMENT_OUTCOME_FULL:
            self.placement.full(replica_id, now)
        elif outcome == control_pb2.PLACEMENT_OUTCOME_DRAINING:
            self.placement.draining(replica_id, now)
        else:
            self.placement.unreachable(replica_id, now)
        self._feedback[replica_id] = outcome
        if len(self._feedback) > FEEDBACK_MAX:
            del self._feedback[next(iter(self._feedback))]
        self.on_feedback()

    def take_feedback(self) -> list[control_pb2.PlacementFeedback]:
        """Returns what replicas were met with since the last call, the latest of each."""
        feedback, self._feedback = self._feedback, {}
        return [control_pb2.PlacementFeedback(replica_id=key, outcome=value) for key, value in feedback.items()]

    def _go_away(self, replica_id: str) -> None:
        self.met(replica_id, control_pb2.PLACEMENT_OUTCOME_DRAINING)


def new_edge_id() -> str:
    """Returns a random id for an edge process."""
    return "edge-" + secrets.token_hex(4)
