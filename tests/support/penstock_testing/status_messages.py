"""Answers of a controller for tests of what is printed: every function gives a new message that a test may change."""

from __future__ import annotations

from typing import Any

from penstock.api.control.v1 import admin_pb2, chain_pb2, control_pb2, load_pb2
from penstock_controller.cli.quantities import to_duration
from penstock_controller.conversion import timestamp

NOW = 1_700_000_000.0
"""The time at which these messages are looked at, in seconds since the epoch."""

ECHO = "echo-0a1b2c3d"


def controller(**changes: Any) -> admin_pb2.ControllerStatus:
    facts: dict[str, Any] = {
        "controller_id": "c0ffee00",
        "epoch": 3,
        "version": "0.1.0",
        "pid": 4242,
        "started_at": timestamp(NOW - 3720),
        "address": "unix:/state/controller.sock",
        "state_dir": "/state",
        "actuator": "local",
        "snapshot_version": 17,
        "snapshot_age": to_duration(0.2),
        "scale_writer": "controller",
    }
    return admin_pb2.ControllerStatus(**facts | changes)


def decision(rule: str, reason: str, before: int, after: int, ago: float = 14.0) -> admin_pb2.ScaleDecision:
    return admin_pb2.ScaleDecision(
        rule=rule, reason=reason, at=timestamp(NOW - ago), from_replicas=before, to_replicas=after
    )


def deployment(name: str = "echo", deployment_id: str = ECHO, **changes: Any) -> admin_pb2.DeploymentStatus:
    """Two replicas of two, 11 of 16 slots in use."""
    facts: dict[str, Any] = {
        "environments": ["production"],
        "ready_replicas": 2,
        "target_replicas": 2,
        "min_replicas": 1,
        "max_replicas": 3,
        "active_streams": 11,
        "stream_capacity": 16,
        "last_decision": decision("all_busy", "every ready replica has 7 of 8 streams or more", 1, 2),
        "source": f"/models/{name}",
        "autoscaling": autoscaling(),
        "created_at": timestamp(NOW - 86400 * 2),
    }
    return admin_pb2.DeploymentStatus(name=name, deployment_id=deployment_id, **facts | changes)


def chainlet(
    name: str, *calls: str, entry: bool = False, version: str = "0a1b2c3d", **changes: Any
) -> admin_pb2.DeploymentStatus:
    """A chainlet of the chain "voice", as `deployment` but for its place."""
    own = "voice" if entry else f"voice.{name}"
    place = chain_pb2.ChainPlace(
        chain="voice", chain_id=f"voice-{version}", chainlet=name, is_entrypoint=entry, dependencies=calls
    )
    return deployment(own, f"{own}-{version}", chain=place, **changes)


def autoscaling(**changes: Any) -> load_pb2.Autoscaling:
    facts: dict[str, Any] = {
        "min_replica": 1,
        "max_replica": 3,
        "max_concurrency": 8,
        "metric": "streams",
        "scale_down_delay": 900.0,
        "scale_down_interval": 10.0,
        "autoscaling_window": 60.0,
        "target_utilization_percentage": 70.0,
        "max_scale_down_rate": 50.0,
        "placement": "spread",
    }
    return load_pb2.Autoscaling(**facts | changes)


def replica(end: str, active: int = 0, deployment_id: str = ECHO, **changes: Any) -> admin_pb2.ReplicaView:
    """A ready replica of eight slots; idle for a minute when it has no streams."""
    facts: dict[str, Any] = {
        "state": control_pb2.REPLICA_STATE_READY,
        "stream_capacity": 8,
        "pid": 77,
        "address": "127.0.0.1:7000",
        "status_age": to_duration(0.4),
        "started_at": timestamp(NOW - 3600),
        "ready_at": timestamp(NOW - 3590),
        "event_loop_lag": to_duration(0.0021),
        "log_path": f"/state/logs/{deployment_id}-{end}.log",
        "resident_bytes": 72 * 1024 * 1024,
        "version": "0.1.0",
        "gpus": "0",
        "streams_total": 120,
        "rejected_total": 2,
    }
    if active:
        facts["oldest_stream_at"] = timestamp(NOW - 1800)
    else:
        facts["idle_for"] = to_duration(60)
    return admin_pb2.ReplicaView(
        replica_id=f"{deployment_id}-{end}", deployment_id=deployment_id, active_streams=active, **facts | changes
    )


def empty_place(end: str, deployment_id: str = ECHO, **changes: Any) -> admin_pb2.ReplicaView:
    """A replica that has failed and will be started again."""
    facts: dict[str, Any] = {
        "state": control_pb2.REPLICA_STATE_FAILED,
        "restarts": 4,
        "message": "Traceback (most recent call last)\nValueError: no weights",
        "next_start_at": timestamp(NOW + 2),
        "crash_looping": True,
    }
    return admin_pb2.ReplicaView(replica_id=f"{deployment_id}-{end}", deployment_id=deployment_id, **facts | changes)


def edge(edge_id: str = "edge-1", **changes: Any) -> admin_pb2.EdgeView:
    facts: dict[str, Any] = {
        "pid": 88,
        "http_address": "127.0.0.1:8000",
        "grpc_address": "127.0.0.1:8001",
        "active_streams": 11,
        "snapshot_version": 17,
        "snapshot_epoch": 3,
        "status_age": to_duration(0.9),
        "started_at": timestamp(NOW - 3700),
        "version": "0.1.0",
    }
    return admin_pb2.EdgeView(edge_id=edge_id, **facts | changes)


def healthy() -> admin_pb2.GetStatusResponse:
    """One deployment with two ready replicas, one edge."""
    return admin_pb2.GetStatusResponse(
        controller=controller(),
        deployments=[deployment()],
        replicas=[replica("aaaaa", 8), replica("bbbbb", 3, pid=78, gpus="1")],
        edges=[edge()],
    )


def explanation() -> admin_pb2.ExplainDeploymentResponse:
    """A deployment at its most, with streams that wait."""
    looked = decision("all_busy", "every ready replica has 7 of 8 streams or more", 3, 3, 0.3)
    values = {"ready_replicas": 3, "active_streams": 24, "waiting_streams": 2, "average_load": 23.25}
    looked.inputs.extend(admin_pb2.DecisionInput(name=name, value=value) for name, value in values.items())
    return admin_pb2.ExplainDeploymentResponse(
        deployment=deployment(
            ready_replicas=3,
            target_replicas=3,
            active_streams=24,
            stream_capacity=24,
            waiting_streams=2,
            oldest_wait=to_duration(1.2),
            refused_total=5,
            blocked="max_replica is 3",
        ),
        replicas=[replica("aaaaa", 8), replica("bbbbb", 8), replica("ccccc", 8)],
        now=looked,
        history=[
            decision("burst", "4 streams wait, 0 slots are free", 2, 3, 14),
            decision("all_busy", "every ready replica has 7 of 8 streams or more", 1, 2, 200),
        ],
        next_look=to_duration(43),
    )
