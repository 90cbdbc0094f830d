"""A replica of the simulation: slots with the admission rule of the runner, and its reports to the controller. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from penstock_controller.records import ReplicaState
from penstock_controller.simulate.timeline import Timeline

if TYPE_CHECKING:
    from penstock_controller.simulate.edge import Stream

COALESCE_S = 0.05
"""Shortest time between two reports, as in the runner."""

HEARTBEAT_S = 2.0
"""Longest time between two reports. A report without news is not an event of the simulation: its age is computed."""


class InvariantError(Exception):
    """The simulation did what must never happen."""


class Refusal(Enum):
    """Why a replica does not take a stream."""

    FULL = "full"
    DRAINING = "draining"
    GONE = "gone"
    """It has ended; the edge finds nobody at its address."""


class Report(NamedTuple):
    """What a replica tells the controller."""

    replica_id: str
    state: ReplicaState
    active_streams: int


@dataclass(frozen=True, slots=True)
class ReplicaEvents:
    """Who hears of a replica."""

    reported: Callable[[Report], None]
    """A report has arrived at the controller."""
    counted: Callable[[SimulatedReplica, int], None]
    """The number of held slots has changed from what is given."""
    emptied: Callable[[SimulatedReplica], None]
    """It drains, and its last stream has ended."""


class SimulatedReplica:
    """One replica from its start to its end."""

    __slots__ = (
        "_events",
        "_is_report_due",
        "_sent_at",
        "_timeline",
        "capacity",
        "is_draining",
        "is_gone",
        "is_ready",
        "replica_id",
        "report_delay_s",
        "streams",
    )

    def __init__(
        self, replica_id: str, capacity: int, timeline: Timeline, report_delay_s: float, events: ReplicaEvents
    ) -> None:
        self.replica_id = replica_id
        self.capacity = capacity
        self.report_delay_s = report_delay_s
        self.is_ready = False
        self.is_draining = False
        self.is_gone = False
        self.streams: dict[Stream, None] = {}
        """Those that hold a slot."""
        self._timeline = timeline
        self._events = events
        self._is_report_due = False
        self._sent_at = -COALESCE_S

    @property
    def state(self) -> ReplicaState:
        if self.is_draining:
            return ReplicaState.DRAINING
        return ReplicaState.READY if self.is_ready else ReplicaState.STARTING

    def load(self) -> None:
        """The model is loaded."""
        self.is_ready = True
        self._changed()

    def admit(self, stream: Stream) -> Refusal | None:
        """Gives the stream a slot, or says why there is none."""
        if self.is_gone or not self.is_ready:
            return Refusal.GONE
        if self.is_draining:
            return Refusal.DRAINING
        held = len(self.streams)
        if held >= self.capacity:
            return Refusal.FULL
        self.streams[stream] = None
        if len(self.streams) != held + 1 or held + 1 > self.capacity:
            raise InvariantError(f"replica {self.replica_id} holds {len(self.streams)} of {self.capacity} slots")
        self._events.counted(self, held)
        self._changed()
        return None

    def release(self, stream: Stream) -> None:
        """The stream gives its slot back. Does nothing when it was cut before."""
        if stream not in self.streams:
            return
        held = len(self.streams)
        del self.streams[stream]
        self._events.counted(self, held)
        self._changed()
        if self.is_draining and not self.streams:
            self._events.emptied(self)

    def drain(self, *, if_idle: bool) -> bool:
        """Stops admission, with `if_idle` only when no slot is held. Returns whether it drains now."""
        if if_idle and self.streams:
            return False
        if not self.is_draining:
            self.is_draining = True
            self._changed()
        return True

    def end(self, *, cut: bool) -> list[Stream]:
        """The process ends. Returns the streams that it held, which are cut.

        Raises:
            InvariantError: It holds streams and they were not to be cut.
        """
        streams = list(self.streams)
        if streams and not cut:
            raise InvariantError(f"replica {self.replica_id} was removed with {len(streams)} open streams")
        self.streams.clear()
        if streams:
            self._events.counted(self, len(streams))
        self.is_gone = True
        return streams

    def _changed(self) -> None:
        if not self._is_report_due:
            self._is_report_due = True
            self._timeline.at(self._sent_at + COALESCE_S, self._send)

    def _send(self) -> None:
        self._is_report_due = False
        if self.is_gone:
            return
        self._sent_at = self._timeline.now
        report = Report(self.replica_id, self.state, len(self.streams))
        self._timeline.after(self.report_delay_s, self._events.reported, report)
