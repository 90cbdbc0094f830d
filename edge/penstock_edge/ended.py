"""The record of a stream that has ended: one log line, and its share in the metrics."""

from __future__ import annotations

from typing import Protocol

import structlog

from penstock.close_codes import TABLE, EndCode
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.open_streams import ClientStream
from penstock_edge.routing import Deployment

log = structlog.get_logger("edge")


class AnsweredStream(ClientStream, Protocol):
    """A stream that is a request."""

    status: int
    """HTTP status of the response; 0 when there is none."""


def record_end(stream: ClientStream, code: EndCode, close_code: int, now: float, metrics: EdgeMetrics) -> None:
    """Logs and counts a stream that has ended at `now`."""
    deployment = stream.deployment
    labels = (deployment.name, deployment.id)
    duration_s = now - stream.opened_at
    metrics.streams.labels(*labels, code, close_code_label(close_code)).inc()
    metrics.duration.labels(*labels).observe(duration_s)
    metrics.bytes.labels(*labels, "in").inc(stream.bytes_in)
    metrics.bytes.labels(*labels, "out").inc(stream.bytes_out)
    metrics.messages.labels(*labels, "in").inc(stream.messages_in)
    metrics.messages.labels(*labels, "out").inc(stream.messages_out)
    metrics.open_connections.labels(deployment.name, deployment.id, environment_of(deployment)).dec()
    log.info(
        "stream_ended",
        stream_id=stream.stream_id,
        deployment=deployment.id,
        replica=stream.replica_id,
        code=code,
        close_code=close_code,
        duration_ms=round(duration_s * 1000),
        bytes_in=stream.bytes_in,
        bytes_out=stream.bytes_out,
        messages_in=stream.messages_in,
        messages_out=stream.messages_out,
    )


def record_request(call: AnsweredStream, code: EndCode, head_at: float, now: float, metrics: EdgeMetrics) -> None:
    """Counts a request that had a slot and is over at `now`; logs it when it failed.

    Args:
        head_at: when its response began; 0 when it never did.
    """
    deployment = call.deployment
    metrics.request_series(deployment.name, deployment.id, environment_of(deployment)).ended(
        status=call.status or TABLE[code].http_status,
        duration_s=now - call.opened_at,
        head_s=head_at - call.opened_at if head_at else None,
        bytes_in=call.bytes_in,
        bytes_out=call.bytes_out,
    )
    if code is not EndCode.COMPLETED or call.status >= 500:
        log.info(
            "request_failed",
            stream_id=call.stream_id,
            deployment=deployment.id,
            replica=call.replica_id,
            code=code,
            http_status=call.status or TABLE[code].http_status,
            duration_ms=round((now - call.opened_at) * 1000),
        )


def record_request_start(deployment: Deployment, waited_s: float, metrics: EdgeMetrics) -> None:
    """Counts a request that got its slot."""
    metrics.request_series(deployment.name, deployment.id, environment_of(deployment)).began(waited_s)


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
