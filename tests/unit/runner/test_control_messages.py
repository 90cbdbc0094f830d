"""The proto messages say what the runner means."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.control.v1 import control_pb2
from penstock_runner import control_messages
from penstock_runner.attach_state import State, Status

IDENTITY = control_messages.Identity(
    replica_id="echo-1-abcde",
    deployment_id="echo-1",
    boot_id="b00t",
    address="127.0.0.1:5000",
    pid=12,
    pid_start_ticks=345,
    version="0.1.0",
    started_at_s=1000.25,
)


def test_register_carries_identity_and_whole_state() -> None:
    status = Status(
        State.READY,
        active_streams=3,
        stream_capacity=4,
        message="fine",
        streams_total=10,
        rejected_total=2,
        event_loop_lag_s=0.25,
        resident_bytes=1000,
        oldest_stream_at_s=1_700_000_000.25,
    )

    register = control_messages.register_request(IDENTITY, status, 7).register

    assert register.replica_id == "echo-1-abcde"
    assert register.deployment_id == "echo-1"
    assert register.boot_id == "b00t"
    assert register.address == "127.0.0.1:5000"
    assert (register.pid, register.pid_start_ticks) == (12, 345)
    assert register.protocol_version == 1
    assert register.version == "0.1.0"
    assert register.started_at.ToMilliseconds() == 1_000_250
    sent = register.status
    assert (sent.sequence, sent.state) == (7, control_pb2.REPLICA_STATE_READY)
    assert (sent.active_streams, sent.stream_capacity) == (3, 4)
    assert (sent.streams_total, sent.rejected_total) == (10, 2)
    assert sent.message == "fine"
    assert sent.resident_bytes == 1000
    assert sent.event_loop_lag.ToMilliseconds() == 250
    assert sent.oldest_stream_at.ToMilliseconds() == 1_700_000_000_250


def test_oldest_stream_is_absent_when_none_is_open() -> None:
    assert not control_messages.status_request(Status(State.READY), 1).status.HasField("oldest_stream_at")


def test_lag_is_absent_while_the_model_loads() -> None:
    sent = control_messages.status_request(Status(State.STARTING), 1).status

    assert not sent.HasField("event_loop_lag")


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_proto_value(state: State) -> None:
    sent = control_messages.status_request(Status(state), 1).status

    assert control_pb2.ReplicaState.Name(sent.state) == f"REPLICA_STATE_{state.name}"


def test_drain_result_answers_one_drain() -> None:
    sent = control_messages.drain_result_request("d1", accepted=False, active_streams=2).drain_result

    assert (sent.drain_id, sent.accepted, sent.active_streams) == ("d1", False, 2)


@given(st.floats(0, 1e6))
def test_durations_are_valid_and_keep_their_value(value: float) -> None:
    sent = control_messages.status_request(Status(State.READY, event_loop_lag_s=value), 1).status.event_loop_lag

    assert 0 <= sent.nanos < 1_000_000_000
    assert control_messages.seconds(sent) == pytest.approx(value, abs=1e-6)


def test_seconds_reads_a_duration() -> None:
    assert control_messages.seconds(Duration(seconds=2, nanos=500_000_000)) == 2.5
