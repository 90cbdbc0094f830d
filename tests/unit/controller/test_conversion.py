from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.control.v1 import control_pb2
from penstock_controller.conversion import (
    decision_to_wire,
    duration,
    edge_report_from_wire,
    registration_from_wire,
    report_from_wire,
    seconds_of,
    snapshot_to_wire,
    state_to_wire,
    subscription_from_wire,
    timestamp,
)
from penstock_controller.errors import InvalidRequestError
from penstock_controller.records import Demand, ReplicaState, ScaleDecision, StreamLimits
from penstock_controller.registry import ReplicaRow, RouteTable
from penstock_testing.controller_parts import WALL, deployment


@given(st.floats(0, 1e9))
def test_duration_survives_to_the_nanosecond(seconds: float) -> None:
    assert abs(seconds_of(duration(seconds)) - seconds) < 1e-6


@pytest.mark.parametrize("state", ReplicaState)
def test_every_state_survives(state: ReplicaState) -> None:
    assert report_from_wire(control_pb2.ReplicaStatus(state=state_to_wire(state))).state is state


def test_unspecified_state_is_starting() -> None:
    assert report_from_wire(control_pb2.ReplicaStatus()).state is ReplicaState.STARTING


def test_absent_lag_is_none() -> None:
    assert report_from_wire(control_pb2.ReplicaStatus()).event_loop_lag_s is None
    assert report_from_wire(control_pb2.ReplicaStatus(event_loop_lag=duration(0.0))).event_loop_lag_s == 0.0


@pytest.mark.parametrize("missing", ["replica_id", "deployment_id", "boot_id", "address", "protocol_version"])
def test_registration_without_a_needed_field_is_refused(missing: str) -> None:
    register = control_pb2.Register(
        replica_id="r", deployment_id="d", boot_id="b", address="127.0.0.1:1", protocol_version=1
    )
    assert registration_from_wire(register).started_wall is None
    register.ClearField(missing)  # type: ignore[arg-type]  # any field

    with pytest.raises(InvalidRequestError, match=missing):
        registration_from_wire(register)


def test_subscription_needs_an_id() -> None:
    with pytest.raises(InvalidRequestError, match="edge_id"):
        subscription_from_wire(control_pb2.Subscribe())
    assert subscription_from_wire(control_pb2.Subscribe(edge_id="e", pid=3)).pid == 3
    assert subscription_from_wire(control_pb2.Subscribe(edge_id="e", inner_address="a:1")).inner_address == "a:1"


def test_demand_is_taken_by_deployment() -> None:
    status = control_pb2.EdgeStatus(
        demands=[control_pb2.Demand(deployment_id="d", waiting=2, oldest_wait=duration(1.5), refused_total=9)]
    )

    assert edge_report_from_wire(status).demands == {"d": Demand(2, 1.5, 9)}


def test_snapshot_leaves_what_is_not_set_to_the_edge() -> None:
    limits = StreamLimits(ping_interval_s=0.0, message_bytes_max=5, predict_timeout_s=60.0)
    table = RouteTable(
        2,
        7,
        True,
        [deployment(limits=limits, routes=("/ws",))],
        [ReplicaRow("r1", "echo-1", "127.0.0.1:1", ReplicaState.READY, True, 3, 8, 0.25)],
    )

    snapshot = snapshot_to_wire(table)

    assert (snapshot.epoch, snapshot.version, snapshot.partial, snapshot.heartbeat.seconds) == (2, 7, True, 2)
    (route,) = snapshot.deployments
    assert (list(route.environments), list(route.routes)) == (["production"], ["/ws"])
    assert route.settings.HasField("ping_interval")
    assert not route.settings.HasField("ping_timeout")
    assert not route.settings.HasField("compression")
    assert route.settings.message_bytes_max == 5
    assert route.settings.predict_timeout.seconds == 60
    assert not route.settings.HasField("async_predict_timeout")
    (replica,) = snapshot.replicas
    assert (replica.cordoned, replica.active_streams, replica.status_age.nanos) == (True, 3, 250_000_000)


def test_decision_keeps_its_time() -> None:
    wire = decision_to_wire(ScaleDecision("fixed", "why", WALL, 1, 2))

    assert wire.at == timestamp(WALL)
    assert (wire.from_replicas, wire.to_replicas) == (1, 2)
