"""The record of a stream that has ended: one log line, and its share in the metrics."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from penstock.close_codes import EndCode
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.routing import Deployment

log = structlog.get_logger("edge")


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What is kept of a stream. Times in seconds, sizes in bytes of payload and framing as the client sees them."""

    stream_id: str
    deployment: Deployment
    replica_id: str
    code: EndCode
    close_code: int
    duration_s: float
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int


def record_end(record: StreamRecord, metrics: EdgeMetrics) -> None:
    """Logs and counts an ended stream."""
    deployment = record.deployment
    labels = (deployment.name, deployment.id)
    metrics.streams.labels(*labels, record.code, close_code_label(record.close_code)).inc()
    metrics.duration.labels(*labels).observe(record.duration_s)
    metrics.bytes.labels(*labels, "in").inc(record.bytes_in)
    metrics.bytes.labels(*labels, "out").inc(record.bytes_out)
    metrics.messages.labels(*labels, "in").inc(record.messages_in)
    metrics.messages.labels(*labels, "out").inc(record.messages_out)
    metrics.open_connections.labels(deployment.name, deployment.id, environment_of(deployment)).dec()
    log.info(
        "stream_ended",
        stream_id=record.stream_id,
        deployment=deployment.id,
        replica=record.replica_id,
        code=record.code,
        close_code=record.close_code,
        duration_ms=round(record.duration_s * 1000),
        bytes_in=record.bytes_in,
        bytes_out=record.bytes_out,
        messages_in=record.messages_in,
        messages_out=record.messages_out,
    )


def record_start(deployment: Deployment, waited_s: float, metrics: EdgeMetrics) -> None:
    """Counts a stream that got its slot."""
    metrics.open_connections.labels(deployment.name, deployment.id, environment_of(deployment)).inc()
    metrics.admission.labels(deployment.name, deployment.id).observe(waited_s)


def record_refusal(model: str, code: EndCode, http_status: int, metrics: EdgeMetrics) -> None:
    """Logs and counts an upgrade that was refused; `model` is empty when no deployment was found."""
    metrics.refused.labels(model, code, str(http_status)).inc()
    log.info("stream_refused", model=model, code=code, http_status=http_status)


def close_code_label(close_code: int) -> str:
    """The label of a close code. Clients choose codes from 3000 on, so those are not told apart: labels stay few."""
    return f"{close_code // 1000}xxx" if close_code >= 3000 else str(close_code)


def environment_of(deployment: Deployment) -> str:
    """The environment under which a deployment is counted."""
    return deployment.environments[0] if deployment.environments else ""
