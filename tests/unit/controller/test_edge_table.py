from __future__ import annotations

import pytest

from penstock_controller import edge_table
from penstock_controller.edge_table import EdgeTable
from penstock_controller.errors import TooManySessionsError
from penstock_controller.records import Demand, EdgeReport, Subscription

LEASE_S = 6.0
EDGE = Subscription("e1", 7, "127.0.0.1:80", "", "0.1.0", None)


def test_demand_is_counted_while_the_edge_is_heard_of() -> None:
    edges = EdgeTable(LEASE_S)
    edges.connected(EDGE, 1, 0.0)
    assert edges.reported("e1", 1, EdgeReport(demands={"echo-1": Demand(4)}), 0.0) == {"echo-1"}
    assert edges.reported("e1", 1, EdgeReport(demands={"echo-1": Demand(4)}), 1.0) == set()

    assert edges.waiting_streams("echo-1", 1.0) == 4
    assert edges.waiting_streams("echo-1", 1.0 + LEASE_S) == 0
    assert edges.gone("e1", 1) == {"echo-1"}
    assert edges.waiting_streams("echo-1", 1.0) == 0
    assert list(edges) == []


def test_demand_that_ends_is_a_change() -> None:
    edges = EdgeTable(LEASE_S)
    edges.connected(EDGE, 1, 0.0)
    edges.reported("e1", 1, EdgeReport(demands={"echo-1": Demand(4), "voice-1": Demand(1)}), 0.0)

    assert edges.reported("e1", 1, EdgeReport(demands={"voice-1": Demand(1)}), 0.0) == {"echo-1"}


def test_newer_call_of_an_edge_replaces_the_older_one() -> None:
    edges = EdgeTable(LEASE_S)
    assert edges.connected(EDGE, 1, 0.0) is None
    assert edges.connected(EDGE, 2, 1.0) == 1

    assert edges.gone("e1", 1) == set()
    edges.reported("e1", 1, EdgeReport(active_streams=9), 1.0)
    assert [(edge.session, edge.report.active_streams) for edge in edges] == [(2, 0)]


def test_further_edges_are_refused_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_table, "EDGES_MAX", 1)
    edges = EdgeTable(LEASE_S)
    edges.connected(EDGE, 1, 0.0)
    with pytest.raises(TooManySessionsError):
        edges.connected(Subscription("e2", 8, "", "", "", None), 2, 0.0)
    edges.connected(EDGE, 3, 0.0)
    assert len(edges) == 1
