"""Values that the parts of the controller hand to each other.

Times named `now` or `*_at` are monotonic seconds; those named `*_wall` are seconds since the epoch (UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides


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
    oldest_stream_wall: float | None = None
    """When its oldest open stream began."""
    unhealthy: bool = False
    """The model's own health check fails."""
    endpoints: tuple[str, ...] = ()
    """What the model can be called by; empty until it is loaded."""


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
    inner_address: str = ""
    """Where it serves trunks for runners that call other chainlets; empty when it does not."""


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
    predict_timeout_s: float | None = None
    """Time for a request until its response has begun."""
    async_predict_timeout_s: float | None = None
    """The same for an asynchronous request."""


class BuildState(StrEnum):
    """What became of the preparation of a deployment: its environment, build commands and weights."""

    NONE = "none"
    """It needs none."""
    WAITING = "waiting"
    """It has not begun."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Build:
    """The preparation of a deployment."""

    state: BuildState = BuildState.NONE
    message: str = ""
    """Why it failed, with the last lines of its output; what is doubtful when it did not."""
    python: str = ""
    """Interpreter of its runners; empty for the platform's own."""

    @property
    def is_over(self) -> bool:
        """Replicas may be started."""
        return self.state in (BuildState.NONE, BuildState.DONE)


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """The place of a deployment in one version of a chain. It never changes."""

    chain: str
    """Name of the chain."""
    chain_id: str
    """Of the version. It is the id of the entrypoint's deployment, too."""
    chainlet: str
    """Display name."""
    is_entrypoint: bool
    dependencies: tuple[str, ...] = ()
    """Display names of the chainlets that it calls."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """An immutable version of a model or of a chainlet, with what operators made of it since."""

    deployment_id: str
    name: str
    source: str
    """Absolute path of the Truss directory."""
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    """As config.yaml says."""
    overrides: ScalingOverrides = field(default_factory=ScalingOverrides)
    limits: StreamLimits = StreamLimits()
    routes: tuple[str, ...] = ()
    gpus: int = 0
    """GPUs that one replica asks for."""
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    environments: tuple[str, ...] = ()
    """Environments that point to it."""
    stopped: bool = False
    """An operator ended all replicas; none is started until the deployment is applied again."""
    retired: bool = False
    """No longer wanted: it is forgotten as soon as its last replica has ended."""
    superseded_wall: float | None = None
    """Since when no environment points to it, though one did: it goes to zero as its streams end."""
    streams_end_wall: float | None = None
    """When the streams that are left on it are ended, since it was superseded; None lets them take their time."""
    created_wall: float = 0.0
    artifact: str = ""
    """Artifact that `source` is the content of; empty when it is a directory of an operator."""
    build: Build = Build()
    ready_wall: float | None = None
    """When a replica of it was ready for the first time; None before."""
    chain: ChainPlace | None = None
    """None for a model."""

    @property
    def version_id(self) -> str:
        """Of what is promoted as a whole: the version of its chain, or a model by itself."""
        return self.deployment_id if self.chain is None else self.chain.chain_id

    @property
    def is_inner(self) -> bool:
        """It is a chainlet that only others call."""
        return self.chain is not None and not self.chain.is_entrypoint

    @property
    def superseded(self) -> bool:
        return self.superseded_wall is not None


@dataclass(frozen=True, slots=True)
class Promotion:
    """An environment that is to point at a deployment as soon as a replica of that is ready; at a chain, as soon as
    every chainlet has one."""

    name: str
    environment: str
    deployment_id: str
    """Of a chain that of the entrypoint."""
    deadline_s: float | None
    """Time for the streams of the deployment before; None gives them all they want."""
    requested_wall: float


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """A change of a deployment's target, and why."""

    rule: str
    reason: str
    at_wall: float
    from_replicas: int
    to_replicas: int
    inputs: Mapping[str, float] = field(default_factory=dict)
    """What the decision was based on."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for operators."""

    at_wall: float
    kind: str
    """Stable name, for example "replica_exited"."""
    text: str
    deployment_id: str | None = None
    replica_id: str | None = None
    sequence: int = 0
