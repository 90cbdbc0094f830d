"""Decides whether everything that was asked for is ready, still coming, or will not come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.cli.up.observation import Deployment, Edge, Observation, Phase, Replica

DEATHS_MAX = 3
"""A model whose processes die that often before one of them was ready (killed for memory, say) will not get ready."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A deployment that was asked for."""

    name: str
    deployment_id: str
    replicas: int
    """Replicas that are waited for."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not yet."""

    progress: tuple[str, ...]
    """One line per deployment, or for the edge, that is waited for."""
    for_edge: bool = False
    """Every replica is ready; only the edge is not."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A stream that is opened now reaches a replica."""

    edge: Edge


@dataclass(frozen=True, slots=True)
class ModelFailure:
    """A deployment that will not get ready."""

    name: str
    replica_id: str
    """Empty when none was started."""
    reason: str
    """The model's own traceback where there is one; may be empty."""
    log_path: str


@dataclass(frozen=True, slots=True)
class Failed:
    """At least one deployment will not get ready."""

    failures: tuple[ModelFailure, ...]


class Readiness:
    """Judges one observation after the other until it is no longer `Waiting`."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._wanted = tuple(wanted)
        self._routed_from: tuple[int, int] | None = None
        """Epoch and version of the snapshot that first held every replica."""
        self._starting: dict[str, Replica] = {}
        """Replicas that were last seen starting."""
        self._dead: dict[str, Replica] = {}
        """Replicas that ended without having been ready."""

    def judge(self, observation: Observation, edge_pid: int) -> Waiting | Ready | Failed:
        """Returns the verdict; `edge_pid` is the process that is to serve."""
        self._count_deaths(observation)
        failures = [failure for wanted in self._wanted if (failure := self._failure(wanted, observation)) is not None]
        if failures:
            return Failed(tuple(failures))
        progress = [line for wanted in self._wanted if (line := _progress(wanted, observation)) is not None]
        if progress:
            self._routed_from = None
            return Waiting(tuple(progress))
        if self._routed_from is None or self._routed_from[0] != observation.epoch:
            # Pinned at the first such observation: the version goes on rising, and the edge would never catch up.
            self._routed_from = (observation.epoch, observation.snapshot_version)
        edge = next((edge for edge in observation.edges if edge.pid in (0, edge_pid) and edge.http_address), None)
        if edge is None or (edge.snapshot_epoch, edge.snapshot_version) < self._routed_from:
            return Waiting(("waiting for the edge",), for_edge=True)
        return Ready(edge)

    def _count_deaths(self, observation: Observation) -> None:
        # Not Replica.restarts: the controller remembers those of earlier calls too.
        now = {replica.replica_id: replica for replica in observation.replicas}
        for replica_id, replica in list(self._starting.items()):
            current = now.get(replica_id)
            if current is None or current.phase is Phase.LOST:
                self._dead[replica_id] = current or replica
                del self._starting[replica_id]
        for replica in observation.replicas:
            if replica.phase is Phase.STARTING and replica.replica_id not in self._dead:
                self._starting[replica.replica_id] = replica
            else:
                self._starting.pop(replica.replica_id, None)

    def _failure(self, wanted: Wanted, observation: Observation) -> ModelFailure | None:
        deployment = observation.deployment(wanted.deployment_id)
        if deployment is not None and deployment.phase == "BUILD_FAILED":
            return ModelFailure(wanted.name, "", deployment.message, deployment.build_log_path)
        replicas = observation.replicas_of(wanted.deployment_id)
        failed = next((item for item in replicas if item.phase is Phase.FAILED), None)
        if failed is None:
            dead = [item for item in self._dead.values() if item.deployment_id == wanted.deployment_id]
            if len(dead) < DEATHS_MAX:
                return None
            failed = dead[-1]
        return ModelFailure(wanted.name, failed.replica_id, _reason(failed, observation), failed.log_path)


def _reason(replica: Replica, observation: Observation) -> str:
    if replica.message:
        return replica.message
    deployment = observation.deployment(replica.deployment_id)
    return deployment.message if deployment else ""


def _progress(wanted: Wanted, observation: Observation) -> str | None:
    deployment = observation.deployment(wanted.deployment_id) or Deployment(wanted.name, wanted.deployment_id)
    if deployment.ready >= wanted.replicas:
        return None
    if deployment.phase == "BUILDING":
        return f"{wanted.name}: building its environment"
    counts = f"{deployment.ready} of {wanted.replicas} {_replicas(wanted.replicas)} ready"
    details = [
        f"{count} {what}"
        for count, what in ((deployment.starting, "starting"), (deployment.draining, "draining"))
        if count
    ]
    messages = [
        item.message.splitlines()[0]
        for item in observation.replicas_of(wanted.deployment_id)
        if item.phase is Phase.STARTING and item.message
    ]
    # All replicas of a deployment do the same thing; the first says it for all.
    details += messages[:1]
    return f"{wanted.name}: {counts}" + (f" ({', '.join(details)})" if details else "")


def _replicas(count: int) -> str:
    return "replica" if count == 1 else "replicas"
