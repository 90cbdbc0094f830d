from __future__ import annotations

from penstock.api.control.v1 import admin_pb2
from penstock.cli.edges import EdgeAddresses, edge_addresses


def status(*edges: admin_pb2.EdgeView) -> admin_pb2.GetStatusResponse:
    return admin_pb2.GetStatusResponse(edges=edges)


def test_an_edge_that_drains_is_passed_over() -> None:
    gone = admin_pb2.EdgeView(http_address="127.0.0.1:1", draining=True)
    here = admin_pb2.EdgeView(http_address="127.0.0.1:2", grpc_address="127.0.0.1:3")
    assert edge_addresses(status(gone, here)) == EdgeAddresses("http://127.0.0.1:2", "127.0.0.1:3")


def test_an_edge_at_all_addresses_is_reached_at_this_machine() -> None:
    assert edge_addresses(status(admin_pb2.EdgeView(http_address="0.0.0.0:80"))).http == "http://127.0.0.1:80"


def test_without_an_edge_there_is_no_address() -> None:
    assert edge_addresses(status()) == EdgeAddresses("", "")
