"""Shows a status: as tables for people, as JSON for programs. Pure functions of the answer and the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.control.v1 import admin_pb2, control_pb2

API_VERSION = "penstock/v1"

STALE_AFTER_S = 6.0
"""Age of a status from which it is called stale: a lease."""

MESSAGE_LINE_MAX = 100
"""Characters of a message in a table; the JSON has all of it."""


class Verdict(StrEnum):
    """The state of the whole in one word."""

    HEALTHY = "HEALTHY"
    RECOVERING = "RECOVERING"
    """The controller has restarted and has not yet heard from every replica."""
    DEGRADED = "DEGRADED"
    """Something serves, but less than what is wanted."""
    UNAVAILABLE = "UNAVAILABLE"
    """A deployment has no replica that takes streams."""


def verdict(status: admin_pb2.GetStatusResponse) -> Verdict:
    """Judges a status."""
    wanted = [d for d in status.deployments if d.target_replicas > 0]
    if any(d.ready_replicas == 0 for d in wanted) and not status.controller.recovering:
        return Verdict.UNAVAILABLE
    if status.controller.recovering:
        return Verdict.RECOVERING
    short = any(d.ready_replicas < d.target_replicas or d.failed_replicas for d in wanted)
    if short or any(replica.suspect for replica in status.replicas):
        return Verdict.DEGRADED
    return Verdict.HEALTHY


def render_json(status: admin_pb2.GetStatusResponse) -> str:
    """Returns the stable JSON form. Times are RFC 3339 in UTC, durations are seconds, absent values are null."""
    document = {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "verdict": str(verdict(status)),
        "controller": _controller_json(status.controller),
        "deployments": [_deployment_json(d) for d in status.deployments],
        "replicas": [_replica_json(r) for r in status.replicas],
        "edges": [_edge_json(e) for e in status.edges],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def render_table(status: admin_pb2.GetStatusResponse, *, now_wall: float) -> str:
    """Returns the tables for people; `now_wall` is what ages count from (seconds since the epoch)."""
    parts = [_header(status, now_wall), _deployment_table(status, now_wall)]
    if status.replicas:
        parts.append(_replica_table(status, now_wall))
    if status.edges:
        parts.append(_edge_table(status))
    if status.deployments:
        parts.append("\n".join(_why(d) for d in status.deployments))
    return "\n\n".join(parts) + "\n"


def state_word(state: control_pb2.ReplicaState.ValueType) -> str:
    """Returns "ready" for REPLICA_STATE_READY, and so on; "starting" for a state that is not known."""
    if state == control_pb2.REPLICA_STATE_UNSPECIFIED:
        return "starting"
    return control_pb2.ReplicaState.Name(state).removeprefix("REPLICA_STATE_").lower()


def age(seconds: float) -> str:
    """Returns "0.4s", "14s", "3m", "5h12m", "2d4h"."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours == 0:
        return f"{minutes}m"
    if days == 0:
        return f"{hours}h{minutes % 60}m"
    return f"{days}d{hours % 24}h"


def _controller_json(c: admin_pb2.ControllerStatus) -> dict[str, Any]:
    return {
        "id": c.controller_id,
        "epoch": c.epoch,
        "version": c.version,
        "pid": c.pid,
        "started_at": _time(c, "started_at"),
        "recovering": c.recovering,
        "address": c.address,
        "state_dir": c.state_dir,
        "actuator": c.actuator,
        "snapshot_version": c.snapshot_version,
    }


def _deployment_json(d: admin_pb2.DeploymentStatus) -> dict[str, Any]:
    decision = d.last_decision
    return {
        "name": d.name,
        "id": d.deployment_id,
        "environment": d.environments[0] if d.environments else None,
        "environments": list(d.environments),
        "replicas": {
            "ready": d.ready_replicas,
            "starting": d.starting_replicas,
            "draining": d.draining_replicas,
            "failed": d.failed_replicas,
            "target": d.target_replicas,
            "min": d.min_replicas,
            "max": d.max_replicas,
        },
        "streams": {"active": d.active_streams, "capacity": d.stream_capacity, "waiting": d.waiting_streams},
        "last_decision": {"rule": decision.rule, "reason": decision.reason, "at": _time(decision, "at")}
        if d.HasField("last_decision")
        else None,
        "source": d.source,
        "message": d.message,
    }


def _replica_json(r: admin_pb2.ReplicaView) -> dict[str, Any]:
    return {
        "id": r.replica_id,
        "deployment_id": r.deployment_id,
        "state": state_word(r.state),
        "suspect": r.suspect,
        "cordoned": r.cordoned,
        "streams": {"active": r.active_streams, "capacity": r.stream_capacity},
        "pid": r.pid or None,
        "address": r.address or None,
        "status_age": _seconds(r, "status_age"),
        "started_at": _time(r, "started_at"),
        "restarts": r.restarts,
        "event_loop_lag": _seconds(r, "event_loop_lag"),
        "resident_bytes": r.resident_bytes or None,
        "log_path": r.log_path or None,
        "next_start_at": _time(r, "next_start_at"),
        "message": r.message,
    }


def _edge_json(e: admin_pb2.EdgeView) -> dict[str, Any]:
    return {
        "id": e.edge_id,
        "pid": e.pid or None,
        "http_address": e.http_address,
        "grpc_address": e.grpc_address or None,
        "streams": {"active": e.active_streams, "waiting": e.waiting_streams},
        "snapshot": {"epoch": e.snapshot_epoch, "version": e.snapshot_version},
        "status_age": _seconds(e, "status_age"),
        "draining": e.draining,
        "started_at": _time(e, "started_at"),
    }


def _header(status: admin_pb2.GetStatusResponse, now_wall: float) -> str:
    c = status.controller
    return (
        f"{verdict(status)}  controller {c.controller_id}  epoch {c.epoch}  version {c.version}  "
        f"up {age(now_wall - c.started_at.seconds)}  actuator {c.actuator}  {c.address}"
    )


def _deployment_table(status: admin_pb2.GetStatusResponse, now_wall: float) -> str:
    if not status.deployments:
        return "No deployments. Start one with: penstock up DIRECTORY"

    def last_scale(d: admin_pb2.DeploymentStatus) -> str:
        if not d.HasField("last_decision"):
            return "-"
        decision = d.last_decision
        since = age(now_wall - decision.at.seconds)
        return f"{decision.from_replicas}->{decision.to_replicas} {since} ago"

    return _table(
        ("MODEL", "DEPLOYMENT", "ENVIRONMENT", "READY", "STARTING", "DRAINING", "STREAMS", "WAITING", "LAST SCALE"),
        [
            (
                d.name,
                d.deployment_id,
                ",".join(d.environments) or "-",
                f"{d.ready_replicas}/{d.target_replicas}",
                str(d.starting_replicas),
                str(d.draining_replicas),
                _used(d.active_streams, d.stream_capacity),
                str(d.waiting_streams),
                last_scale(d),
            )
            for d in status.deployments
        ],
    )


def _replica_table(status: admin_pb2.GetStatusResponse, now_wall: float) -> str:
    def state(r: admin_pb2.ReplicaView) -> str:
        return state_word(r.state) + (" (suspect)" if r.suspect else "")

    def heartbeat(r: admin_pb2.ReplicaView) -> str:
        if not r.HasField("status_age"):
            return "-"
        seconds = _to_seconds(r.status_age)
        return f"{age(seconds)} STALE" if seconds > STALE_AFTER_S else age(seconds)

    def up(r: admin_pb2.ReplicaView) -> str:
        return age(now_wall - r.started_at.seconds) if r.HasField("started_at") else "-"

    def note(r: admin_pb2.ReplicaView) -> str:
        due = f"next start in {age(r.next_start_at.seconds - now_wall)}: " if r.HasField("next_start_at") else ""
        return _one_line(due + (r.message.strip().splitlines() or [""])[-1]) or "-"

    return _table(
        ("REPLICA", "STATE", "STREAMS", "PID", "UP", "RESTARTS", "HEARTBEAT", "LOOP LAG", "NOTE"),
        [
            (
                r.replica_id,
                state(r),
                _used(r.active_streams, r.stream_capacity),
                str(r.pid or "-"),
                up(r),
                str(r.restarts),
                heartbeat(r),
                f"{_to_seconds(r.event_loop_lag) * 1000:.0f}ms" if r.HasField("event_loop_lag") else "-",
                note(r),
            )
            for r in status.replicas
        ],
    )


def _edge_table(status: admin_pb2.GetStatusResponse) -> str:
    newest = status.controller

    def routes(e: admin_pb2.EdgeView) -> str:
        if e.snapshot_version == 0:
            return "NONE"
        behind = newest.snapshot_version - e.snapshot_version
        if e.snapshot_epoch == newest.epoch and behind <= 0:
            return "SYNCED"
        if e.snapshot_epoch != newest.epoch:
            return f"STALE (epoch {e.snapshot_epoch})"
        # Snapshots go out every 50 ms at most, an edge tells its version every 2 s: a few behind is normal.
        return f"{behind} behind" if _to_seconds(e.status_age) <= STALE_AFTER_S else f"STALE ({behind} behind)"

    return _table(
        ("EDGE", "HTTP", "GRPC", "STREAMS", "WAITING", "SNAPSHOT", "HEARTBEAT", "STATE"),
        [
            (
                e.edge_id,
                e.http_address or "-",
                e.grpc_address or "-",
                str(e.active_streams),
                str(e.waiting_streams),
                routes(e),
                age(_to_seconds(e.status_age)),
                "draining" if e.draining else "serving",
            )
            for e in status.edges
        ],
    )


def _why(d: admin_pb2.DeploymentStatus) -> str:
    line = f"{d.name}: {d.target_replicas} wanted"
    if d.HasField("last_decision"):
        line += f" ({d.last_decision.rule}: {d.last_decision.reason})"
    if d.message:
        line += f"; {_one_line(d.message.strip().splitlines()[-1])}"
    return line


def _used(active: int, capacity: int) -> str:
    return f"{active}/{capacity} ({100 * active // capacity}%)" if capacity else f"{active}/0"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (titles, *rows)) for i in range(len(titles))]
    pad: Callable[[Sequence[str]], str] = lambda row: "  ".join(  # noqa: E731
        cell.ljust(width) for cell, width in zip(row, widths, strict=True)
    ).rstrip()
    return "\n".join(pad(row) for row in (titles, *rows))


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_LINE_MAX else line[: MESSAGE_LINE_MAX - 1] + "…"


def _to_seconds(value: Duration) -> float:
    return value.seconds + value.nanos / 1e9


def _seconds(message: Message, field: str) -> float | None:
    return round(_to_seconds(getattr(message, field)), 3) if message.HasField(field) else None


def _time(message: Message, field: str) -> str | None:
    if not message.HasField(field):
        return None
    moment: Timestamp = getattr(message, field)
    at = datetime.fromtimestamp(moment.seconds + moment.nanos / 1e9, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
