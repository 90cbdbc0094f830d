"""What `penstock up` sees of the controller's state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """State of a replica."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica."""

    replica_id: str
    deployment_id: str
    phase: Phase
    pid: int = 0
    """0 before it has one."""
    log_path: str = ""
    message: str = ""
    """What it does or why it failed; user frames of a traceback included."""

    @property
    def short_id(self) -> str:
        """The part of the id that tells replicas of one deployment apart."""
        return self.replica_id.rpartition("-")[2]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment."""

    name: str
    deployment_id: str
    ready: int = 0
    starting: int = 0
    draining: int = 0
    failed: int = 0
    active_streams: int = 0
    """Streams that hold a slot."""
    message: str = ""
    """What is wrong; empty when nothing is."""
    phase: str = ""
    """Where it is in its life: "BUILDING", "ACTIVE", …"""
    blocked: str = ""
    """What keeps it from the replicas that it needs; empty when nothing does."""
    environments: tuple[str, ...] = ()
    """That point to it."""
    endpoints: tuple[str, ...] = ()
    """What its model can be called by; empty when no replica has told yet."""
    build_log_path: str = ""
    """Empty when nothing was built."""

    @property
    def has_failed(self) -> bool:
        """Whether it will not get ready by itself."""
        return self.phase in _FAILED_PHASES


_FAILED_PHASES = frozenset({"BUILD_FAILED", "BUILD_STOPPED", "DEPLOY_FAILED", "FAILED"})


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge process."""

    pid: int
    """0 when not known."""
    http_address: str
    grpc_address: str = ""
    """Empty when it serves no gRPC."""
    snapshot_epoch: int = 0
    snapshot_version: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything at one moment."""

    epoch: int
    snapshot_version: int
    deployments: tuple[Deployment, ...] = ()
    replicas: tuple[Replica, ...] = ()
    edges: tuple[Edge, ...] = ()

    def deployment(self, deployment_id: str) -> Deployment | None:
        return next((item for item in self.deployments if item.deployment_id == deployment_id), None)

    def replicas_of(self, deployment_id: str) -> tuple[Replica, ...]:
        return tuple(item for item in self.replicas if item.deployment_id == deployment_id)

    @property
    def active_streams(self) -> int:
        return sum(deployment.active_streams for deployment in self.deployments)
