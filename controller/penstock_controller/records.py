"""Values that the parts of the controller hand to each other.

Times named `now` or `*_at` are monotonic seconds; those named `*_wall` are seconds since the epoch (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class ReplicaState(Enum):
    """What a replica does; the same states as on the wire."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    LOST = "lost"


class ProcessState(Enum):
    """What the actuator knows of a replica's process."""

    RUNNING = "running"
    UNKNOWN = "unknown"
    """Nobody here watches the process: the runner was started by someone else, or may not have been started at all."""


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """The whole state of a replica as its runner told it."""

    sequence: int
    state: ReplicaState
    active_streams: int = 0
    stream_capacity: int = 0
    event_loop_lag_s: float | None = None
    message: str = ""
    streams_total: int = 0
    rejected_total: int = 0
    resident_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Registration:
    """Who a runner says it is, with its state at that moment."""

    replica_id: str
    deployment_id: str
    boot_id: str
    address: str
    pid: int
    pid_start_ticks: int
    version: str
    started_wall: float | None
    report: ReplicaReport


@dataclass(frozen=True, slots=True)
class Demand:
    """Streams of one deployment that wait at one edge."""

    waiting: int
    oldest_wait_s: float | None = None
    refused_total: int = 0


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who an edge process says it is."""

    edge_id: str
    pid: int
    http_address: str
    grpc_address: str
    version: str
    started_wall: float | None


@dataclass(frozen=True, slots=True)
class EdgeReport:
    """The whole state of an edge as it told it."""

    active_streams: int = 0
    demands: dict[str, Demand] = field(default_factory=dict)
    snapshot_epoch: int = 0
    snapshot_version: int = 0
    draining: bool = False


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How edges treat the streams of a deployment. None leaves a value to the default of the edge."""

    message_bytes_max: int | None = None
    ping_interval_s: float | None = None
    ping_timeout_s: float | None = None
    queue_timeout_s: float | None = None
    queue_streams_max: int | None = None
    idle_timeout_s: float | None = None
    stream_age_max_s: float | None = None
    handshake_timeout_s: float | None = None
    compression: bool | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """An immutable version of a model, and how many replicas of it are wanted."""

    deployment_id: str
    name: str
    source: str
    """Absolute path of the Truss directory."""
    replicas: int
    """Replicas that were asked for."""
    limits: StreamLimits = StreamLimits()
    routes: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    stopped: bool = False
    """An operator ended all replicas; none is started until the deployment is applied again."""
    retired: bool = False
    """No longer wanted: it is forgotten as soon as its last replica has ended."""
    created_wall: float = 0.0


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """A change of a deployment's target, and why."""

    rule: str
    reason: str
    at_wall: float
    from_replicas: int
    to_replicas: int
