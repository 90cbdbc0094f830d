"""`runtime` of config.yaml: how the server treats the model (truss.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.truss.health_checks import HealthChecks, read_health_checks
from penstock.truss.section import Section
from penstock.truss.settings import TIME_MAX_S
from penstock.truss.transport import Transport, read_transport

STREAMING_READ_TIMEOUT_DEFAULT_S = 60.0
"""Time between two chunks of a streamed result (truss.md section 2.2)."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The section `runtime`, with defaults filled in."""

    predict_concurrency: int = 1
    """Calls of `predict` at one time in one replica, 1 to 1,000,000."""
    streaming_read_timeout_s: float = STREAMING_READ_TIMEOUT_DEFAULT_S
    enable_tracing_data: bool = False
    enable_debug_logs: bool = False
    transport: Transport = field(default_factory=Transport)
    health_checks: HealthChecks = field(default_factory=HealthChecks)


def read_runtime(section: Section) -> Runtime:
    """Reads the section `runtime`."""
    default = Runtime()
    timeout = section.seconds("streaming_read_timeout", default.streaming_read_timeout_s, low=0.1, high=TIME_MAX_S)
    runtime = Runtime(
        predict_concurrency=section.integer("predict_concurrency", 1, low=1, high=1_000_000),
        streaming_read_timeout_s=default.streaming_read_timeout_s if timeout is None else timeout,
        enable_tracing_data=section.boolean("enable_tracing_data", False),
        enable_debug_logs=section.boolean("enable_debug_logs", False),
        transport=read_transport(section),
        health_checks=read_health_checks(section.section("health_checks")),
    )
    section.integer("num_workers", 1, low=1, high=1)
    return runtime
