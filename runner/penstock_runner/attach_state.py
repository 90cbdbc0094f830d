"""What a runner tells its controller, and when. Pure: the caller brings the time and does the sending.

    detached --connected--> register due --take_register--> attached --(change | heartbeat)--> status due --take--> …
        ^---------------------------------- disconnected ----------------------------------------'

A change is sent at once, but never sooner than COALESCE_S after the status before, so a burst of streams that open
costs one status. Without a change a status goes out every heartbeat: it renews the lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

COALESCE_S = 0.05
"""Shortest time between two statuses."""
HEARTBEAT_DEFAULT_S = 2.0
"""Longest time between two statuses until the controller names its own."""
HEARTBEAT_MIN_S = 0.1
HEARTBEAT_MAX_S = 60.0
BACK_OFF_MIN_S = 0.1
BACK_OFF_MAX_S = 2.0
"""Pause before another attempt to attach. Short, because a runner without a controller cannot be placed anew."""


class State(Enum):
    """State of the replica; the names are those of the proto's ReplicaState."""

    STARTING = "STARTING"
    READY = "READY"
    DRAINING = "DRAINING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Status:
    """The replica at one moment."""

    state: State
    active_streams: int = 0
    stream_capacity: int = 1
    message: str = ""
    streams_total: int = 0
    rejected_total: int = 0
    oldest_stream_at_s: float | None = None
    """Unix time; None when no stream is open."""
    event_loop_lag_s: float | None = None
    """Largest since the last status; None while the model loads."""
    resident_bytes: int = 0
    is_unhealthy: bool = False
    """The model's own health check fails, and it gets no new streams."""
    endpoints: tuple[str, ...] = ()
    """What the model can be called by; empty until it is loaded."""

    def differs(self, other: Status) -> bool:
        """Whether the controller should hear of `self` before the next heartbeat. Measurements do not count."""
        return (
            self.state is not other.state
            or self.active_streams != other.active_streams
            or self.stream_capacity != other.stream_capacity
            or self.message != other.message
            or self.is_unhealthy is not other.is_unhealthy
            or self.endpoints != other.endpoints
            or self.streams_total != other.streams_total
            or self.rejected_total != other.rejected_total
            or self.oldest_stream_at_s != other.oldest_stream_at_s
        )


class AttachState:
    """Clock of the statuses, back-off of the attempts, and the fence against old controllers."""

    def __init__(self) -> None:
        self.epoch = 0
        """Newest epoch of a controller that spoke; 0 before the first."""
        self._sequence = 0
        self._heartbeat_s = HEARTBEAT_DEFAULT_S
        self._sent: Status | None = None
        self._sent_at = 0.0
        self._failures = 0

    @property
    def attached(self) -> bool:
        """Whether a register was sent on the call that is open."""
        return self._sent is not None

    def next_sequence(self, status: Status, now: float) -> int:
        """Notes that `status` is sent now; returns its number."""
        self._sequence += 1
        self._sent = status
        self._sent_at = now
        return self._sequence

    def due_at(self, status: Status) -> float:
        """Returns when `status`, the replica as it is now, should be sent."""
        if self._sent is None:
            return self._sent_at
        return self._sent_at + (COALESCE_S if status.differs(self._sent) else self._heartbeat_s)

    def unsent(self, status: Status) -> bool:
        """Whether the controller has yet to hear of `status`."""
        return self._sent is None or status.differs(self._sent)

    def registered(self, heartbeat_s: float) -> None:
        """The controller answered; the call works."""
        self._failures = 0
        if heartbeat_s > 0:
            self._heartbeat_s = min(max(heartbeat_s, HEARTBEAT_MIN_S), HEARTBEAT_MAX_S)

    def disconnected(self) -> float:
        """The call broke or could not be made; returns the pause in seconds before the next attempt."""
        self._sent = None
        pause = min(BACK_OFF_MIN_S * 2.0 ** min(self._failures, 10), BACK_OFF_MAX_S)
        self._failures += 1
        return pause

    def may_command(self, epoch: int) -> bool:
        """Whether a controller of this epoch may command; notes a newer one. Older ones are fenced off."""
        if epoch < self.epoch:
            return False
        self.epoch = epoch
        return True
