"""Between the wire and the controller's own values. The only place that knows both."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.control.v1 import admin_pb2, chain_pb2, control_pb2, load_pb2
from penstock.placement import PlacementStrategy
from penstock_controller.errors import InvalidRequestError
from penstock_controller.records import (
    ChainPlace,
    Demand,
    Deployment,
    EdgeReport,
    Event,
    Registration,
    ReplicaReport,
    ReplicaState,
    ScaleDecision,
    Subscription,
)
from penstock_controller.registry import HEARTBEAT_S, ReplicaRow, RouteTable
from penstock_controller.scaling.overrides import effective, overridden

_STATE_TO_WIRE = {
    ReplicaState.STARTING: control_pb2.REPLICA_STATE_STARTING,
    ReplicaState.READY: control_pb2.REPLICA_STATE_READY,
    ReplicaState.DRAINING: control_pb2.REPLICA_STATE_DRAINING,
    ReplicaState.FAILED: control_pb2.REPLICA_STATE_FAILED,
    ReplicaState.LOST: control_pb2.REPLICA_STATE_LOST,
}
_PLACEMENT_TO_WIRE = {
    PlacementStrategy.SPREAD: control_pb2.PLACEMENT_STRATEGY_SPREAD,
    PlacementStrategy.PACKED: control_pb2.PLACEMENT_STRATEGY_PACKED,
}
_STATE_FROM_WIRE = {wire: state for state, wire in _STATE_TO_WIRE.items()}


def state_to_wire(state: ReplicaState) -> control_pb2.ReplicaState.ValueType:
    return _STATE_TO_WIRE[state]


def duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def seconds_of(value: Duration) -> float:
    return value.seconds + value.nanos / 1e9


def timestamp(wall: float) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(datetime.fromtimestamp(wall, UTC))
    return moment


def report_from_wire(status: control_pb2.ReplicaStatus) -> ReplicaReport:
    return ReplicaReport(
        sequence=status.sequence,
        state=_STATE_FROM_WIRE.get(status.state, ReplicaState.STARTING),
        active_streams=status.active_streams,
        stream_capacity=status.stream_capacity,
        event_loop_lag_s=seconds_of(status.event_loop_lag) if status.HasField("event_loop_lag") else None,
        message=status.message,
        streams_total=status.streams_total,
        rejected_total=status.rejected_total,
        resident_bytes=status.resident_bytes,
        oldest_stream_wall=wall_of(status.oldest_stream_at) if status.HasField("oldest_stream_at") else None,
        unhealthy=status.unhealthy,
        endpoints=tuple(status.endpoints),
    )


def registration_from_wire(register: control_pb2.Register) -> Registration:
    """Raises InvalidRequestError when something that is needed is missing."""
    for key in ("replica_id", "deployment_id", "boot_id", "address"):
        if not getattr(register, key):
            raise InvalidRequestError(f"register.{key} must not be empty")
    if register.protocol_version < 1:
        raise InvalidRequestError("register.protocol_version must be at least 1")
    return Registration(
        replica_id=register.replica_id,
        deployment_id=register.deployment_id,
        boot_id=register.boot_id,
        address=register.address,
        pid=register.pid,
        pid_start_ticks=register.pid_start_ticks,
        version=register.version,
        started_wall=wall_of(register.started_at) if register.HasField("started_at") else None,
        report=report_from_wire(register.status),
    )


def subscription_from_wire(subscribe: control_pb2.Subscribe) -> Subscription:
    """Raises InvalidRequestError when something that is needed is missing."""
    if not subscribe.edge_id:
        raise InvalidRequestError("subscribe.edge_id must not be empty")
    return Subscription(
        edge_id=subscribe.edge_id,
        pid=subscribe.pid,
        http_address=subscribe.http_address,
        grpc_address=subscribe.grpc_address,
        version=subscribe.version,
        started_wall=wall_of(subscribe.started_at) if subscribe.HasField("started_at") else None,
        inner_address=subscribe.inner_address,
    )


def edge_report_from_wire(status: control_pb2.EdgeStatus) -> EdgeReport:
    return EdgeReport(
        active_streams=status.active_streams,
        demands={
            demand.deployment_id: Demand(
                waiting=demand.waiting,
                oldest_wait_s=seconds_of(demand.oldest_wait) if demand.HasField("oldest_wait") else None,
                refused_total=demand.refused_total,
            )
            for demand in status.demands
        },
        snapshot_epoch=status.snapshot_epoch,
        snapshot_version=status.snapshot_version,
        draining=status.draining,
    )


def snapshot_to_wire(table: RouteTable) -> control_pb2.Snapshot:
    return control_pb2.Snapshot(
        epoch=table.epoch,
        version=table.version,
        partial=table.partial,
        deployments=[_deployment_route(d) for d in table.deployments],
        replicas=[_replica_route(r) for r in table.replicas],
        heartbeat=duration(HEARTBEAT_S),
        edge_count=table.edge_count,
    )


def decision_to_wire(decision: ScaleDecision) -> admin_pb2.ScaleDecision:
    return admin_pb2.ScaleDecision(
        rule=decision.rule,
        reason=decision.reason,
        at=timestamp(decision.at_wall),
        from_replicas=decision.from_replicas,
        to_replicas=decision.to_replicas,
        inputs=[admin_pb2.DecisionInput(name=name, value=value) for name, value in decision.inputs.items()],
    )


def autoscaling_to_wire(deployment: Deployment) -> load_pb2.Autoscaling:
    """The settings in force."""
    settings = effective(deployment.scaling, deployment.overrides)
    return load_pb2.Autoscaling(
        min_replica=settings.min_replica,
        max_replica=settings.max_replica,
        max_concurrency=settings.max_concurrency,
        metric=settings.metric,
        scale_down_delay=settings.scale_down_delay_s,
        scale_down_interval=settings.scale_down_interval_s,
        autoscaling_window=settings.autoscaling_window_s,
        target_utilization_percentage=settings.target_utilization_percentage,
        max_scale_down_rate=settings.max_scale_down_rate,
        buffer_slots=settings.buffer_slots,
        placement=settings.placement,
        cordon_surplus=settings.cordon_surplus,
        overridden=overridden(deployment.scaling, deployment.overrides),
    )


def chain_place_to_wire(place: ChainPlace | None) -> chain_pb2.ChainPlace | None:
    if place is None:
        return None
    return chain_pb2.ChainPlace(
        chain=place.chain,
        chain_id=place.chain_id,
        chainlet=place.chainlet,
        is_entrypoint=place.is_entrypoint,
        dependencies=place.dependencies,
    )


def event_to_wire(event: Event) -> admin_pb2.Event:
    return admin_pb2.Event(
        sequence=event.sequence,
        at=timestamp(event.at_wall),
        kind=event.kind,
        deployment_id=event.deployment_id or "",
        replica_id=event.replica_id or "",
        text=event.text,
    )


def _deployment_route(deployment: Deployment) -> control_pb2.DeploymentRoute:
    return control_pb2.DeploymentRoute(
        deployment_id=deployment.deployment_id,
        name=deployment.name,
        kind=control_pb2.DEPLOYMENT_KIND_MODEL if deployment.chain is None else control_pb2.DEPLOYMENT_KIND_CHAIN,
        environments=deployment.environments,
        routes=deployment.routes,
        settings=_stream_settings(deployment),
    )


def _stream_settings(deployment: Deployment) -> control_pb2.StreamSettings:
    limits = deployment.limits

    def optional(value: float | None) -> Duration | None:
        return None if value is None else duration(value)

    return control_pb2.StreamSettings(
        message_bytes_max=limits.message_bytes_max,
        ping_interval=optional(limits.ping_interval_s),
        ping_timeout=optional(limits.ping_timeout_s),
        queue_timeout=optional(limits.queue_timeout_s),
        queue_streams_max=limits.queue_streams_max,
        idle_timeout=optional(limits.idle_timeout_s),
        stream_age_max=optional(limits.stream_age_max_s),
        handshake_timeout=optional(limits.handshake_timeout_s),
        compression=limits.compression,
        predict_timeout=optional(limits.predict_timeout_s),
        async_predict_timeout=optional(limits.async_predict_timeout_s),
        placement=_PLACEMENT_TO_WIRE[deployment.scaling.placement],
    )


def _replica_route(row: ReplicaRow) -> control_pb2.ReplicaRoute:
    return control_pb2.ReplicaRoute(
        replica_id=row.replica_id,
        deployment_id=row.deployment_id,
        address=row.address,
        state=_STATE_TO_WIRE[row.state],
        cordoned=row.cordoned,
        active_streams=row.active_streams,
        stream_capacity=row.stream_capacity,
        status_age=duration(row.status_age_s),
        unhealthy=row.unhealthy,
    )


def wall_of(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9
