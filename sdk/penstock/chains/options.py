"""Options of calls between chainlets, and of chainlets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import pydantic

from penstock.chains.truss_config import (
    GRPCOptions,
    HealthChecks,
    HTTPOptions,
    WebsocketOptions,
    coerced,
    coerced_transport,
)

DEFAULT_TIMEOUT_S = 600.0
DEFAULT_CONCURRENCY_LIMIT = 300


class RPCOptions(pydantic.BaseModel):
    """How a chainlet calls another one.

    Attributes:
        retries: Attempts in all, at least 1; each failure but a cancellation is tried again at once.
        timeout_sec: Time for one attempt, in seconds.
        use_binary: Arguments and results travel in binary: numpy arrays and bytes without being written as text.
        concurrency_limit: Calls of one stub that are under way at once; further ones wait.
    """

    model_config = pydantic.ConfigDict(strict=True, validate_assignment=True)

    retries: int = 1
    timeout_sec: float = DEFAULT_TIMEOUT_S
    use_binary: bool = False
    concurrency_limit: int = DEFAULT_CONCURRENCY_LIMIT


def _health_checks(value: object) -> object:
    return coerced(value, HealthChecks)


class ChainletOptions(pydantic.BaseModel):
    """How a chainlet is run.

    Attributes:
        enable_b10_tracing: Accepted without effect: there is nobody to send traces to.
        enable_debug_logs: The chainlet's server logs at level DEBUG.
        env_variables: Environment variables of the chainlet's process.
        health_checks: When a replica counts as unhealthy.
        metadata: Free-form, kept in the generated config.yaml.
        streaming_read_timeout: Longest time between two items of a stream, in seconds.
        transport: What carries requests; inferred from `run_remote` when None.
    """

    model_config = pydantic.ConfigDict(
        arbitrary_types_allowed=True, strict=True, validate_assignment=True, extra="forbid"
    )

    enable_b10_tracing: bool = False
    enable_debug_logs: bool = False
    env_variables: Mapping[str, str] = {}
    health_checks: Annotated[HealthChecks, pydantic.BeforeValidator(_health_checks)] = pydantic.Field(
        default_factory=HealthChecks
    )
    metadata: pydantic.JsonValue | None = None
    streaming_read_timeout: int = 60
    transport: Annotated[
        HTTPOptions | WebsocketOptions | GRPCOptions | None, pydantic.BeforeValidator(coerced_transport)
    ] = None
