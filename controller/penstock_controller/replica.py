"""One replica as the registry knows it."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_controller.records import ProcessState, Registration, ReplicaReport, ReplicaState


@dataclass(slots=True, eq=False)
class Replica:
    """One replica. Changed by the registry only."""

    replica_id: str
    deployment_id: str
    process: ProcessState
    known_at: float
    is_adopted: bool = False
    """It was started before this controller, or by someone else."""
    pid: int = 0
    started_wall: float | None = None
    registration: Registration | None = None
    report: ReplicaReport | None = None
    reported_at: float | None = None
    session: int | None = None
    """The Attach call that speaks for it; None while there is none."""
    suspect: bool = False
    drain_ordered: bool = False
    """The controller asked it to drain; true before the runner has answered."""
    undrain_ordered: bool = False
    """The controller has taken a drain back, and the runner has not answered yet."""
    drained_at: float | None = None
    """When it was asked to drain, or first said that it drains."""
    drain_deadline: float | None = None
    """When its streams will be ended; None lets them take their time."""
    cordoned: bool = False
    """An operator made it the last choice."""
    surplus: bool = False
    """Scaling made it the last choice."""
    unreachable_at: float | None = None
    """When an edge last failed to reach it."""
    ready_at: float | None = None
    """When this process was first ready."""
    idle_since: float | None = None
    """Since when it is ready without streams; None while it is not."""

    @property
    def state(self) -> ReplicaState:
        reported = ReplicaState.STARTING if self.report is None else self.report.state
        if self.drain_ordered and reported in (ReplicaState.STARTING, ReplicaState.READY):
            return ReplicaState.DRAINING
        return reported

    @property
    def is_leaving(self) -> bool:
        """It drains, and nobody has taken that back."""
        return self.state is ReplicaState.DRAINING and not self.undrain_ordered

    @property
    def cordon_reason(self) -> str:
        """Why it is the last choice for new streams; empty when it is not."""
        if self.suspect:
            return "suspect"
        if self.cordoned:
            return "operator"
        return "surplus" if self.surplus else ""

    @property
    def unhealthy(self) -> bool:
        """It would take streams, but its model's health check fails."""
        return self.report is not None and self.report.unhealthy and self.state is ReplicaState.READY

    @property
    def address(self) -> str:
        return "" if self.registration is None else self.registration.address

    @property
    def active_streams(self) -> int:
        return 0 if self.report is None else self.report.active_streams

    @property
    def stream_capacity(self) -> int:
        return 0 if self.report is None else self.report.stream_capacity

    @property
    def silent_since(self) -> float:
        """When something was last heard of it, or it became known."""
        return self.known_at if self.reported_at is None else self.reported_at
