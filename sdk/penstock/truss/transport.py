"""`runtime.transport` of config.yaml (truss.md section 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from penstock.truss.section import Section
from penstock.truss.settings import TIME_MAX_S

TransportKind = Literal["http", "websocket", "grpc"]
KINDS = ("http", "websocket", "grpc")


@dataclass(frozen=True, slots=True)
class Transport:
    """`runtime.transport` as written; the pings that hold are those of PenstockSettings."""

    kind: TransportKind = "http"
    ping_interval_seconds: float | None = None
    ping_timeout_seconds: float | None = None


def read_transport(runtime: Section) -> Transport:
    """Reads `transport` and its older form `is_websocket_endpoint`, which wins, from the section `runtime`."""
    section = runtime.section("transport")
    kind = section.choice("kind", "http", KINDS)
    if runtime.boolean("is_websocket_endpoint", False):
        if section.has("kind") and kind != "websocket":
            runtime.warn("is_websocket_endpoint", f"contradicts transport.kind: {kind}, and wins, as in Truss")
        elif not section.has("kind"):
            runtime.warn("is_websocket_endpoint", "is deprecated; write `transport: {kind: websocket}` instead")
        kind = "websocket"
    transport = Transport(
        kind=cast(TransportKind, kind),
        ping_interval_seconds=section.seconds("ping_interval_seconds", None, low=0, high=TIME_MAX_S),
        ping_timeout_seconds=section.seconds("ping_timeout_seconds", None, low=0, high=TIME_MAX_S),
    )
    section.warn_unknown()
    return transport
