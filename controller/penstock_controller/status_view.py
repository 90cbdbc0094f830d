"""Builds the answer to GetStatus from what the controller knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.conversion import decision_to_wire, duration, state_to_wire, timestamp
from penstock_controller.fleet import Fleet, Place
from penstock_controller.policy import ScalingConfig
from penstock_controller.records import Deployment, ReplicaState, ScaleDecision
from penstock_controller.registry import Edge, Registry, Replica
from penstock_controller.restarts import PlaceState


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
class StatusInputs:
    """Everything a status is made of."""

    facts: ControllerFacts
    registry: Registry
    fleet: Fleet
    deployments: list[Deployment]
    targets: Mapping[str, int]
    decisions: Mapping[str, ScaleDecision]
    log_path: Callable[[str], str]


def build_status(inputs: StatusInputs, *, now: float, now_wall: float) -> admin_pb2.GetStatusResponse:
    """`now` is monotonic, `now_wall` the same moment in seconds since the epoch."""
    replicas = [_replica_view(replica, inputs, now) for replica in inputs.registry.replicas()]
    replicas += [
        _empty_place_view(place, inputs, now=now, now_wall=now_wall)
        for place in inputs.fleet.all_places()
        if place.restarts.state in (PlaceState.FAILED, PlaceState.BACKING_OFF)
    ]
    replicas.sort(key=lambda view: (view.deployment_id, view.started_at.seconds, view.replica_id))
    return admin_pb2.GetStatusResponse(
        controller=_controller_status(inputs),
        deployments=[_deployment_status(d, inputs, replicas, now) for d in inputs.deployments],
        replicas=replicas,
        edges=[_edge_view(edge, now) for edge in inputs.registry.edges()],
    )


def _controller_status(inputs: StatusInputs) -> admin_pb2.ControllerStatus:
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
    )


def _deployment_status(
    deployment: Deployment, inputs: StatusInputs, views: list[admin_pb2.ReplicaView], now: float
) -> admin_pb2.DeploymentStatus:
    deployment_id = deployment.deployment_id
    own = [view for view in views if view.deployment_id == deployment_id]
    ready = [view for view in own if view.state == control_pb2.REPLICA_STATE_READY]
    decision = inputs.decisions.get(deployment_id)
    scaling = ScalingConfig(deployment.replicas, deployment.stopped, deployment.retired)
    return admin_pb2.DeploymentStatus(
        name=deployment.name,
        deployment_id=deployment_id,
        environments=deployment.environments,
        ready_replicas=len(ready),
        starting_replicas=_count(own, control_pb2.REPLICA_STATE_STARTING),
        draining_replicas=_count(own, control_pb2.REPLICA_STATE_DRAINING),
        failed_replicas=_count(own, control_pb2.REPLICA_STATE_FAILED) + _count(own, control_pb2.REPLICA_STATE_LOST),
        target_replicas=inputs.targets.get(deployment_id, 0),
        min_replicas=scaling.min_replica,
        max_replicas=scaling.max_replica,
        active_streams=sum(view.active_streams for view in own),
        stream_capacity=sum(view.stream_capacity for view in ready),
        waiting_streams=inputs.registry.waiting_streams(deployment_id, now),
        last_decision=None if decision is None else decision_to_wire(decision),
        source=deployment.source,
        message=_condition(deployment, inputs.fleet),
    )


def _condition(deployment: Deployment, fleet: Fleet) -> str:
    if deployment.retired:
        return "removed; its replicas finish their streams"
    if deployment.stopped:
        return "stopped by an operator"
    # A failure stands until a replica of the same place is ready, also while the next one loads.
    messages = [place.restarts.message for place in fleet.places(deployment.deployment_id) if place.restarts.message]
    return messages[0] if messages else ""


def _replica_view(replica: Replica, inputs: StatusInputs, now: float) -> admin_pb2.ReplicaView:
    place = inputs.fleet.place_of(replica.replica_id)
    reported = replica.report
    lag = None if reported is None else reported.event_loop_lag_s
    return admin_pb2.ReplicaView(
        replica_id=replica.replica_id,
        deployment_id=replica.deployment_id,
        state=state_to_wire(replica.state),
        suspect=replica.suspect,
        cordoned=replica.suspect,
        active_streams=replica.active_streams,
        stream_capacity=replica.stream_capacity,
        pid=replica.pid,
        address=replica.address,
        status_age=None if replica.reported_at is None else duration(max(0.0, now - replica.reported_at)),
        started_at=None if replica.started_wall is None else timestamp(replica.started_wall),
        restarts=0 if place is None else place.restarts.restarts,
        event_loop_lag=None if lag is None else duration(lag),
        log_path=inputs.log_path(replica.replica_id),
        message="" if reported is None else reported.message,
        resident_bytes=0 if reported is None else reported.resident_bytes,
    )


def _empty_place_view(place: Place, inputs: StatusInputs, *, now: float, now_wall: float) -> admin_pb2.ReplicaView:
    replica_id = place.replica_id or ""
    failed = place.restarts.state is PlaceState.FAILED
    next_start_at = place.restarts.next_start_at
    return admin_pb2.ReplicaView(
        replica_id=replica_id,
        deployment_id=place.deployment_id,
        state=state_to_wire(ReplicaState.FAILED if failed else ReplicaState.LOST),
        restarts=place.restarts.restarts,
        log_path=inputs.log_path(replica_id),
        message=place.restarts.message,
        next_start_at=None if next_start_at is None else timestamp(now_wall + next_start_at - now),
    )


def _edge_view(edge: Edge, now: float) -> admin_pb2.EdgeView:
    report = edge.report
    return admin_pb2.EdgeView(
        edge_id=edge.subscription.edge_id,
        pid=edge.subscription.pid,
        http_address=edge.subscription.http_address,
        grpc_address=edge.subscription.grpc_address,
        active_streams=report.active_streams,
        waiting_streams=sum(demand.waiting for demand in report.demands.values()),
        snapshot_version=report.snapshot_version,
        snapshot_epoch=report.snapshot_epoch,
        status_age=duration(max(0.0, now - edge.reported_at)),
        draining=report.draining,
        started_at=None if edge.subscription.started_wall is None else timestamp(edge.subscription.started_wall),
    )


def _count(views: list[admin_pb2.ReplicaView], state: control_pb2.ReplicaState.ValueType) -> int:
    return sum(view.state == state for view in views)
