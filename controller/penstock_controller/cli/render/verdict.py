"""Judges a status: the whole in one word, each deployment in a few."""

from __future__ import annotations

from enum import StrEnum

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.render.wording import seconds_in

STALE_AFTER_S = 6.0
"""Age of a status from which it is called stale: a lease."""

LAG_VERSIONS_MAX = 60
"""Snapshots by which an edge may seem to be behind: it tells its version every 2 s, and they go out every 50 ms."""


class Verdict(StrEnum):
    """The state of the whole in one word."""

    HEALTHY = "HEALTHY"
    RECOVERING = "RECOVERING"
    """The controller has restarted and has not yet heard from every replica."""
    DEGRADED = "DEGRADED"
    """Everything serves or is about to, but something is wrong."""
    UNAVAILABLE = "UNAVAILABLE"
    """A deployment has no replica that takes streams, and none is about to."""


class Condition(StrEnum):
    """The state of a deployment in a word or two."""

    OK = "ok"
    AT_ZERO = "at zero"
    """No replica is wanted."""
    STARTING = "starting"
    """The first replica loads."""
    SCALING_UP = "scaling up"
    SCALING_DOWN = "scaling down"
    WAITING = "waiting"
    """Streams wait, and something keeps it from having more replicas."""
    SHORT = "short"
    """Fewer replicas than wanted are there or load."""
    FAILING = "failing"
    """A replica has failed."""
    BUILDING = "building"
    """Its environment, build commands or weights are prepared."""
    BUILD_FAILED = "build failed"
    """They could not be; no replica is started."""
    UNHEALTHY = "unhealthy"
    """No replica takes streams: the model's own health check fails."""
    CRASH_LOOP = "crash loop"
    """A replica fails again and again."""
    UNAVAILABLE = "unavailable"
    """No replica is ready, none loads."""
    RECOVERING = "recovering"
    """Fewer replicas are known than wanted, but the controller has not yet heard from every one."""


class Sync(StrEnum):
    """Whether an edge routes by what the controller knows."""

    SYNCED = "SYNCED"
    STALE = "STALE"
    NONE = "NONE"
    """It has told of no snapshot yet, as one that has just started."""


HEALTHY_CONDITIONS = frozenset(
    {
        Condition.OK,
        Condition.AT_ZERO,
        Condition.BUILDING,
        Condition.STARTING,
        Condition.SCALING_UP,
        Condition.SCALING_DOWN,
    }
)


def verdict(status: admin_pb2.GetStatusResponse) -> Verdict:
    """Judges a status. A replica that loads in its time is no fault; one that fails is."""
    if status.controller.recovering:
        return Verdict.RECOVERING
    if any(is_unavailable(d) for d in status.deployments):
        return Verdict.UNAVAILABLE
    is_degraded = (
        any(condition(d) not in HEALTHY_CONDITIONS for d in status.deployments if not d.retired)
        or any(replica.suspect for replica in status.replicas)
        or any(sync(edge, status.controller) is Sync.STALE for edge in status.edges)
    )
    return Verdict.DEGRADED if is_degraded else Verdict.HEALTHY


def is_unavailable(d: admin_pb2.DeploymentStatus) -> bool:
    """Whether it should serve and does not: nothing is ready, and what loads, if anything, has failed before."""
    if d.phase == "BUILDING":
        return False
    if d.phase == "BUILD_FAILED":
        # What no environment points to serves nobody yet.
        return bool(d.environments)
    failed = d.failed_replicas or d.crash_looping_replicas
    return not d.retired and d.target_replicas > 0 and d.ready_replicas == 0 and bool(failed or not d.starting_replicas)


def condition(d: admin_pb2.DeploymentStatus, *, recovering: bool = False) -> Condition:
    """Judges one deployment, the worst first. `recovering` is the controller's."""
    coming = d.ready_replicas + d.starting_replicas
    judged = (
        (d.phase == "BUILD_FAILED", Condition.BUILD_FAILED),
        (d.phase == "BUILDING", Condition.BUILDING),
        (d.crash_looping_replicas > 0, Condition.CRASH_LOOP),
        (d.failed_replicas > 0, Condition.FAILING),
        (recovering and coming < d.target_replicas, Condition.RECOVERING),
        (d.phase == "UNHEALTHY", Condition.UNHEALTHY),
        (is_unavailable(d), Condition.UNAVAILABLE),
        (d.waiting_streams > 0 and bool(d.blocked), Condition.WAITING),
        (coming < d.target_replicas, Condition.SHORT),
        (d.ready_replicas == 0 and d.target_replicas > 0, Condition.STARTING),
        (d.ready_replicas < d.target_replicas, Condition.SCALING_UP),
        (d.ready_replicas > d.target_replicas, Condition.SCALING_DOWN),
        (d.target_replicas == 0, Condition.AT_ZERO),
    )
    return next((word for holds, word in judged if holds), Condition.OK)


def lag(edge: admin_pb2.EdgeView, controller: admin_pb2.ControllerStatus) -> int | None:
    """Returns by how many snapshots an edge is behind; None when it follows another epoch, or has none."""
    if edge.snapshot_version == 0 or edge.snapshot_epoch != controller.epoch:
        return None
    return max(0, controller.snapshot_version - edge.snapshot_version)


def sync(edge: admin_pb2.EdgeView, controller: admin_pb2.ControllerStatus) -> Sync:
    if (seconds_in(edge, "status_age") or 0.0) > STALE_AFTER_S:
        return Sync.STALE
    if edge.snapshot_version == 0:
        return Sync.NONE
    behind = lag(edge, controller)
    return Sync.STALE if behind is None or behind > LAG_VERSIONS_MAX else Sync.SYNCED
