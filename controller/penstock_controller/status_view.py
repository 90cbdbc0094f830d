"""Builds the answer to GetStatus from what the controller knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.conversion import (
    autoscaling_to_wire,
    chain_place_to_wire,
    decision_to_wire,
    duration,
    timestamp,
)
from penstock_controller.edge_table import Edge
from penstock_controller.fleet import Fleet
from penstock_controller.log_origins import build_log_name
from penstock_controller.phase import Circumstances, phase_of
from penstock_controller.records import BuildState, Deployment, Promotion, ScaleDecision
from penstock_controller.registry import Registry
from penstock_controller.replica_view import ReplicaFacts, replica_views
from penstock_controller.scaling.overrides import effective


@dataclass(frozen=True, slots=True)
class ControllerFacts:
    """What does not change while the process lives."""

    controller_id: str
    version: str
    pid: int
    started_wall: float
    address: str
    state_dir: str
    actuator: str


@dataclass(frozen=True, slots=True)
class DeploymentScaling:
    """What the last looks at a deployment came to."""

    target: int = 0
    last_change: ScaleDecision | None = None
    blocked: str = ""
    initial: bool = False
    """Nobody has looked at it since it was created or started anew: its first replica is about to be wanted."""


@dataclass(frozen=True, slots=True)
class StatusInputs:
    """Everything a status is made of."""

    facts: ControllerFacts
    registry: Registry
    fleet: Fleet
    deployments: Sequence[Deployment]
    scaling: Mapping[str, DeploymentScaling]
    facts_of: Callable[[str], ReplicaFacts]
    """What the actuator knows of a replica."""
    promotions: Sequence[Promotion] = ()
    all_paused: bool = False
    reloading: Collection[str] = ()
    """Deployments whose replicas were asked to import their code again."""
    snapshot_built_at: float = 0.0
    """Monotonic seconds."""


def build_status(inputs: StatusInputs, *, now: float, now_wall: float) -> admin_pb2.GetStatusResponse:
    """`now` is monotonic, `now_wall` the same moment in seconds since the epoch."""
    views = replica_views(inputs.registry, inputs.fleet, inputs.facts_of, now=now, now_wall=now_wall)
    by_deployment: dict[str, list[admin_pb2.ReplicaView]] = {}
    for view in views:
        by_deployment.setdefault(view.deployment_id, []).append(view)
    return admin_pb2.GetStatusResponse(
        controller=_controller_status(inputs, now),
        deployments=[
            deployment_status(d, inputs, by_deployment.get(d.deployment_id, ()), now, now_wall)
            for d in inputs.deployments
        ],
        replicas=views,
        edges=[_edge_view(edge, now) for edge in inputs.registry.edges],
    )


def deployment_status(
    deployment: Deployment,
    inputs: StatusInputs,
    own: Sequence[admin_pb2.ReplicaView],
    now: float,
    now_wall: float,
) -> admin_pb2.DeploymentStatus:
    """Returns the row of one deployment; `own` are the views of its replicas."""
    deployment_id = deployment.deployment_id
    ready = [view for view in own if view.state == control_pb2.REPLICA_STATE_READY and not view.unhealthy]
    scaling = inputs.scaling.get(deployment_id, DeploymentScaling())
    settings = effective(deployment.scaling, deployment.overrides)
    demands = inputs.registry.edges.demands(deployment_id, now)
    waits = [d.oldest_wait_s for d in demands if d.oldest_wait_s is not None and d.waiting]
    pending = [p.environment for p in inputs.promotions if p.deployment_id == deployment.version_id]
    is_ended = deployment.stopped or deployment.retired
    return admin_pb2.DeploymentStatus(
        name=deployment.name,
        deployment_id=deployment_id,
        environments=deployment.environments,
        ready_replicas=len(ready),
        starting_replicas=_count(own, control_pb2.REPLICA_STATE_STARTING),
        draining_replicas=_count(own, control_pb2.REPLICA_STATE_DRAINING),
        failed_replicas=_count(own, control_pb2.REPLICA_STATE_FAILED) + _count(own, control_pb2.REPLICA_STATE_LOST),
        target_replicas=scaling.target,
        min_replicas=0 if is_ended or deployment.superseded else settings.min_replica,
        max_replicas=0 if is_ended else settings.max_replica,
        active_streams=sum(view.active_streams for view in own),
        stream_capacity=sum(view.stream_capacity for view in ready),
        waiting_streams=sum(demand.waiting for demand in demands),
        last_decision=None if scaling.last_change is None else decision_to_wire(scaling.last_change),
        source=deployment.source,
        message=_condition(deployment, inputs.fleet, own),
        autoscaling=autoscaling_to_wire(deployment),
        manual_replicas=deployment.overrides.replicas,
        paused=deployment.overrides.paused or inputs.all_paused,
        superseded=deployment.superseded,
        retired=deployment.retired,
        stopped=deployment.stopped,
        oldest_wait=duration(max(waits)) if waits else None,
        blocked=scaling.blocked,
        crash_looping_replicas=sum(view.crash_looping for view in own),
        refused_total=sum(demand.refused_total for demand in demands),
        created_at=timestamp(deployment.created_wall),
        pending_environment=pending[0] if pending else "",
        streams_end_at=None if deployment.streams_end_wall is None else timestamp(deployment.streams_end_wall),
        phase=phase_of(_circumstances(deployment, inputs, own, max(scaling.target, scaling.initial))),
        artifact=deployment.artifact,
        build_log_path=_build_log_path(deployment, inputs.facts),
        endpoints=inputs.registry.endpoints(deployment_id),
        chain=chain_place_to_wire(deployment.chain),
    )


def _controller_status(inputs: StatusInputs, now: float) -> admin_pb2.ControllerStatus:
    facts = inputs.facts
    return admin_pb2.ControllerStatus(
        controller_id=facts.controller_id,
        epoch=inputs.registry.epoch,
        version=facts.version,
        pid=facts.pid,
        started_at=timestamp(facts.started_wall),
        recovering=inputs.registry.recovering,
        address=facts.address,
        state_dir=facts.state_dir,
        actuator=facts.actuator,
        snapshot_version=inputs.registry.version,
        snapshot_age=duration(max(0.0, now - inputs.snapshot_built_at)),
        scale_writer="none" if inputs.all_paused else "controller",
    )


def _circumstances(
    deployment: Deployment, inputs: StatusInputs, own: Sequence[admin_pb2.ReplicaView], target: int
) -> Circumstances:
    live = [view for view in own if view.state == control_pb2.REPLICA_STATE_STARTING and view.pid]
    places = inputs.fleet.places(deployment.deployment_id)
    ready = _count(own, control_pb2.REPLICA_STATE_READY)
    unhealthy = sum(view.unhealthy for view in own)
    return Circumstances(
        build=deployment.build.state,
        is_ended=deployment.stopped or deployment.retired,
        was_ready=deployment.ready_wall is not None,
        is_reloading=deployment.deployment_id in inputs.reloading,
        target=target,
        healthy=ready - unhealthy,
        unhealthy=unhealthy,
        loading=sum(bool(view.address) for view in live),
        starting=sum(not view.address for view in live),
        draining=_count(own, control_pb2.REPLICA_STATE_DRAINING),
        failing=sum(p.restarts.is_failing for p in places),
        crash_looping=sum(view.crash_looping for view in own),
    )


def _build_log_path(deployment: Deployment, facts: ControllerFacts) -> str:
    if deployment.build.state in (BuildState.NONE, BuildState.WAITING):
        return ""
    return f"{facts.state_dir}/logs/{build_log_name(deployment.deployment_id)}"


def _condition(deployment: Deployment, fleet: Fleet, own: Sequence[admin_pb2.ReplicaView]) -> str:
    if deployment.retired:
        return "removed; its replicas finish their streams"
    if deployment.stopped:
        return "stopped by an operator"
    match deployment.build.state:
        case BuildState.WAITING:
            return "waits for its build"
        case BuildState.RUNNING:
            return "its build runs"
        case BuildState.FAILED:
            return f"its build failed: {deployment.build.message}"
    # A failure stands until a replica of the same place is ready, also while the next one loads.
    messages = [place.restarts.message for place in fleet.places(deployment.deployment_id) if place.restarts.message]
    if messages:
        return messages[0]
    unhealthy = [view for view in own if view.unhealthy]
    if unhealthy:
        why = unhealthy[0].message or "the model's health check fails"
        return f"{unhealthy[0].replica_id} is unhealthy: {why}"
    return deployment.build.message


def _edge_view(edge: Edge, now: float) -> admin_pb2.EdgeView:
    report, subscription = edge.report, edge.subscription
    return admin_pb2.EdgeView(
        edge_id=subscription.edge_id,
        pid=subscription.pid,
        http_address=subscription.http_address,
        grpc_address=subscription.grpc_address,
        active_streams=report.active_streams,
        waiting_streams=sum(demand.waiting for demand in report.demands.values()),
        snapshot_version=report.snapshot_version,
        snapshot_epoch=report.snapshot_epoch,
        status_age=duration(max(0.0, now - edge.reported_at)),
        draining=report.draining,
        started_at=None if subscription.started_wall is None else timestamp(subscription.started_wall),
        version=subscription.version,
    )


def _count(views: Sequence[admin_pb2.ReplicaView], state: control_pb2.ReplicaState.ValueType) -> int:
    return sum(view.state == state for view in views)
