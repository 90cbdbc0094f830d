"""Conversion between what the runner says and hears and the messages of penstock.api.control.v1."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.control.v1 import control_pb2
from penstock_runner.attach_state import State, Status

PROTOCOL_VERSION = 1

_STATES = {
    State.STARTING: control_pb2.REPLICA_STATE_STARTING,
    State.READY: control_pb2.REPLICA_STATE_READY,
    State.DRAINING: control_pb2.REPLICA_STATE_DRAINING,
    State.FAILED: control_pb2.REPLICA_STATE_FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this runner is; fixed for the life of the process."""

    replica_id: str
    deployment_id: str
    boot_id: str
    address: str
    pid: int
    pid_start_ticks: int
    version: str
    started_at_s: float
    """Unix time."""


def register_request(identity: Identity, status: Status, sequence: int) -> control_pb2.AttachRequest:
    return control_pb2.AttachRequest(
        register=control_pb2.Register(
            replica_id=identity.replica_id,
            deployment_id=identity.deployment_id,
            boot_id=identity.boot_id,
            address=identity.address,
            pid=identity.pid,
            pid_start_ticks=identity.pid_start_ticks,
            protocol_version=PROTOCOL_VERSION,
            version=identity.version,
            started_at=_timestamp(identity.started_at_s),
            status=_status(status, sequence),
        )
    )


def status_request(status: Status, sequence: int) -> control_pb2.AttachRequest:
    return control_pb2.AttachRequest(status=_status(status, sequence))


def drain_result_request(drain_id: str, *, accepted: bool, active_streams: int) -> control_pb2.AttachRequest:
    return control_pb2.AttachRequest(
        drain_result=control_pb2.DrainResult(drain_id=drain_id, accepted=accepted, active_streams=active_streams)
    )


def reload_result_request(
    reload_id: str, *, reloaded: bool, message: str, needs_restart: bool
) -> control_pb2.AttachRequest:
    return control_pb2.AttachRequest(
        reload_result=control_pb2.ReloadResult(
            reload_id=reload_id, reloaded=reloaded, message=message, needs_restart=needs_restart
        )
    )


def seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _status(status: Status, sequence: int) -> control_pb2.ReplicaStatus:
    return control_pb2.ReplicaStatus(
        sequence=sequence,
        state=_STATES[status.state],
        active_streams=status.active_streams,
        stream_capacity=status.stream_capacity,
        event_loop_lag=None if status.event_loop_lag_s is None else _duration(status.event_loop_lag_s),
        message=status.message,
        streams_total=status.streams_total,
        rejected_total=status.rejected_total,
        resident_bytes=status.resident_bytes,
        unhealthy=status.is_unhealthy,
        endpoints=status.endpoints,
        oldest_stream_at=None if status.oldest_stream_at_s is None else _timestamp(status.oldest_stream_at_s),
    )


def _duration(value_s: float) -> Duration:
    whole = int(value_s)
    return Duration(seconds=whole, nanos=min(int((value_s - whole) * 1e9), 999_999_999))


def _timestamp(unix_s: float) -> Timestamp:
    whole = int(unix_s)
    return Timestamp(seconds=whole, nanos=min(int((unix_s - whole) * 1e9), 999_999_999))
