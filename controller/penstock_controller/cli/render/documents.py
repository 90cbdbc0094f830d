"""The stable forms for programs. Times are RFC 3339 in UTC, durations are seconds, what is not known is null."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from penstock.api.control.v1 import admin_pb2, chain_pb2, load_pb2
from penstock_controller.cli.render.verdict import condition, lag, sync, verdict
from penstock_controller.cli.render.wording import moment, seconds_in, state_word

API_VERSION = "penstock/v1"

Document = dict[str, Any]

_PASSING = frozenset({"snapshot_age", "status_age", "event_loop_lag", "resident_bytes", "idle_for", "oldest_wait"})
"""Keys whose values change by themselves as time passes."""

_SECONDS = re.compile(r"\b[0-9.]+ s\b")


def document(kind: str, content: Mapping[str, Any]) -> Document:
    """Returns a document of one kind: every output of ours begins with the same two keys."""
    return {"apiVersion": API_VERSION, "kind": kind} | dict(content)


def status_document(status: admin_pb2.GetStatusResponse) -> Document:
    return document(
        "Status",
        {
            "verdict": str(verdict(status)),
            "controller": controller_document(status.controller),
            "deployments": [
                deployment_document(d, recovering=status.controller.recovering) for d in status.deployments
            ],
            "replicas": [replica_document(r) for r in status.replicas],
            "edges": [edge_document(e, status.controller) for e in status.edges],
        },
    )


def deployments_document(status: admin_pb2.GetStatusResponse) -> Document:
    return document(
        "Deployments",
        {"deployments": [deployment_document(d, recovering=status.controller.recovering) for d in status.deployments]},
    )


def explanation_document(answer: admin_pb2.ExplainDeploymentResponse) -> Document:
    return document(
        "Explanation",
        {
            "deployment": deployment_document(answer.deployment),
            "now": decision_document(answer.now) if answer.HasField("now") else None,
            "next_look": _seconds(answer, "next_look"),
            "replicas": [replica_document(r) for r in answer.replicas],
            "history": [decision_document(decision) for decision in answer.history],
        },
    )


def controller_document(c: admin_pb2.ControllerStatus) -> Document:
    return {
        "id": c.controller_id,
        "epoch": c.epoch,
        "version": c.version,
        "pid": c.pid,
        "started_at": moment(c, "started_at"),
        "recovering": c.recovering,
        "address": c.address,
        "state_dir": c.state_dir,
        "actuator": c.actuator,
        "snapshot_version": c.snapshot_version,
        "snapshot_age": _seconds(c, "snapshot_age"),
        "scale_writer": c.scale_writer or None,
    }


def deployment_document(d: admin_pb2.DeploymentStatus, *, recovering: bool = False) -> Document:
    return {
        "name": d.name,
        "id": d.deployment_id,
        "chain": chain_document(d.chain) if d.HasField("chain") else None,
        "environment": d.environments[0] if d.environments else None,
        "environments": list(d.environments),
        "pending_environment": d.pending_environment or None,
        "phase": d.phase or None,
        "condition": str(condition(d, recovering=recovering)),
        "paused": d.paused,
        "superseded": d.superseded,
        "retired": d.retired,
        "replicas": {
            "ready": d.ready_replicas,
            "starting": d.starting_replicas,
            "draining": d.draining_replicas,
            "failed": d.failed_replicas,
            "crash_looping": d.crash_looping_replicas,
            "target": d.target_replicas,
            "min": d.min_replicas,
            "max": d.max_replicas,
            "manual": d.manual_replicas if d.HasField("manual_replicas") else None,
        },
        "streams": {
            "active": d.active_streams,
            "capacity": d.stream_capacity,
            "waiting": d.waiting_streams,
            "oldest_wait": _seconds(d, "oldest_wait"),
            "refused_total": d.refused_total,
        },
        "streams_end_at": moment(d, "streams_end_at"),
        "last_decision": {
            "rule": d.last_decision.rule,
            "reason": d.last_decision.reason,
            "at": moment(d.last_decision, "at"),
            "from": d.last_decision.from_replicas,
            "to": d.last_decision.to_replicas,
        }
        if d.HasField("last_decision")
        else None,
        "blocked": d.blocked,
        "autoscaling": autoscaling_document(d.autoscaling),
        "source": d.source,
        "artifact": d.artifact or None,
        "build_log_path": d.build_log_path or None,
        "endpoints": list(d.endpoints),
        "created_at": moment(d, "created_at"),
        "message": d.message,
    }


def chain_document(place: chain_pb2.ChainPlace) -> Document:
    """Returns the place of a deployment in a chain."""
    return {
        "name": place.chain,
        "id": place.chain_id,
        "chainlet": place.chainlet,
        "is_entrypoint": place.is_entrypoint,
        "dependencies": list(place.dependencies),
    }


def autoscaling_document(a: load_pb2.Autoscaling) -> Document:
    """Returns the settings under their names in config.yaml."""
    return {
        "min_replica": a.min_replica,
        "max_replica": a.max_replica,
        "max_concurrency": a.max_concurrency,
        "metric": a.metric,
        "scale_down_delay": a.scale_down_delay,
        "scale_down_interval": a.scale_down_interval,
        "autoscaling_window": a.autoscaling_window,
        "target_utilization_percentage": a.target_utilization_percentage,
        "max_scale_down_rate": a.max_scale_down_rate,
        "buffer_slots": a.buffer_slots,
        "placement": a.placement,
        "cordon_surplus": a.cordon_surplus,
    }


def replica_document(r: admin_pb2.ReplicaView) -> Document:
    return {
        "id": r.replica_id,
        "deployment_id": r.deployment_id,
        "state": state_word(r.state),
        "suspect": r.suspect,
        "unhealthy": r.unhealthy,
        "cordoned": r.cordoned,
        "cordon_reason": r.cordon_reason or None,
        "crash_looping": r.crash_looping,
        "streams": {
            "active": r.active_streams,
            "capacity": r.stream_capacity,
            "total": r.streams_total,
            "rejected_total": r.rejected_total,
        },
        "oldest_stream_at": moment(r, "oldest_stream_at"),
        "idle_for": _seconds(r, "idle_for"),
        "drain_started_at": moment(r, "drain_started_at"),
        "drain_deadline": moment(r, "drain_deadline"),
        "gpus": r.gpus or None,
        "pid": r.pid or None,
        "address": r.address or None,
        "version": r.version or None,
        "status_age": _seconds(r, "status_age"),
        "started_at": moment(r, "started_at"),
        "ready_at": moment(r, "ready_at"),
        "restarts": r.restarts,
        "event_loop_lag": _seconds(r, "event_loop_lag"),
        "resident_bytes": r.resident_bytes or None,
        "log_path": r.log_path or None,
        "next_start_at": moment(r, "next_start_at"),
        "message": r.message,
    }


def edge_document(e: admin_pb2.EdgeView, controller: admin_pb2.ControllerStatus) -> Document:
    return {
        "id": e.edge_id,
        "pid": e.pid or None,
        "http_address": e.http_address,
        "grpc_address": e.grpc_address or None,
        "version": e.version or None,
        "streams": {"active": e.active_streams, "waiting": e.waiting_streams},
        "snapshot": {
            "epoch": e.snapshot_epoch,
            "version": e.snapshot_version,
            "state": sync(e, controller).lower(),
            "lag": lag(e, controller),
        },
        "status_age": _seconds(e, "status_age"),
        "draining": e.draining,
        "started_at": moment(e, "started_at"),
    }


def decision_document(d: admin_pb2.ScaleDecision) -> Document:
    return {
        "rule": d.rule,
        "reason": d.reason,
        "at": moment(d, "at"),
        "from": d.from_replicas,
        "to": d.to_replicas,
        "inputs": {value.name: _integral(value.value) for value in d.inputs},
    }


def to_json(value: Document) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def to_json_line(value: Document) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def to_yaml(value: Document) -> str:
    """Returns the same as `to_json`, as a YAML document without a newline at the end."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return text.rstrip("\n")


def lasting(value: Any) -> Any:
    """Returns a document without what changes by itself as time passes: two that differ in it tell of a change."""
    if isinstance(value, dict):
        kept = {key: lasting(item) for key, item in value.items() if key not in _PASSING}
        # It says for how long yet.
        return kept | {"blocked": _SECONDS.sub("", value["blocked"])} if "blocked" in value else kept
    return [lasting(item) for item in value] if isinstance(value, list) else value


def _seconds(message: Any, field: str) -> float | None:
    seconds = seconds_in(message, field)
    return None if seconds is None else round(seconds, 3)


def _integral(value: float) -> float | int:
    return int(value) if value.is_integer() else value
