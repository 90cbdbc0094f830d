from __future__ import annotations

from penstock.api.control.v1 import control_pb2
from penstock.placement import Placement
from penstock_edge.routing import RoutingTable, replica_reports
from penstock_edge.static import static_snapshot


def test_runners_of_one_name_are_replicas_of_one_deployment() -> None:
    snapshot = static_snapshot([("echo", "h:1"), ("talk", "h:2"), ("echo", "h:3")])

    assert [deployment.deployment_id for deployment in snapshot.deployments] == ["echo", "talk"]
    assert [(replica.deployment_id, replica.address) for replica in snapshot.replicas] == [
        ("echo", "h:1"),
        ("talk", "h:2"),
        ("echo", "h:3"),
    ]
    assert len({replica.replica_id for replica in snapshot.replicas}) == 3
    assert {replica.state for replica in snapshot.replicas} == {control_pb2.REPLICA_STATE_READY}


def test_it_can_be_routed_by() -> None:
    snapshot = static_snapshot([("echo", "h:1")])
    placement = Placement(lambda _: 0)
    placement.update(replica_reports(snapshot), 0.0, is_partial=False)

    route = RoutingTable.from_snapshot(snapshot).match("localhost", b"/model/echo/websocket")

    assert route is not None
    chosen = placement.choose(route.deployment.id, (), 0.0)
    assert chosen is not None and chosen.address == "h:1"
    assert snapshot.epoch >= 1 and snapshot.version >= 1
