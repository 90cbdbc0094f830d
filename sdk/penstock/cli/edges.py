"""Where clients reach the edges that the controller knows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.cli.up.host_port import HostPort

if TYPE_CHECKING:
    from penstock.api.control.v1 import admin_pb2


@dataclass(frozen=True, slots=True)
class EdgeAddresses:
    """Of one edge."""

    http: str = ""
    """ "http://host:port"; empty when there is no edge."""
    grpc: str = ""
    """ "host:port"; empty when it serves no gRPC."""


def edge_addresses(status: admin_pb2.GetStatusResponse) -> EdgeAddresses:
    """Returns the addresses of the first edge that takes calls, as they are reached from its own machine."""
    for edge in status.edges:
        if edge.draining or not edge.http_address:
            continue
        grpc = str(HostPort.parse(edge.grpc_address).reachable) if edge.grpc_address else ""
        return EdgeAddresses(f"http://{HostPort.parse(edge.http_address).reachable}", grpc)
    return EdgeAddresses()
