"""When statuses go out, how attempts back off, and which controllers may command."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_runner.attach_state import BACK_OFF_MAX_S, COALESCE_S, HEARTBEAT_DEFAULT_S, AttachState, State, Status

READY = Status(State.READY, active_streams=1, stream_capacity=4)


def test_first_status_of_a_call_is_due_at_once() -> None:
    assert AttachState().due_at(READY) <= 0.0


def test_unchanged_status_is_due_after_the_heartbeat() -> None:
    state = AttachState()
    state.next_sequence(READY, 100.0)

    assert state.due_at(READY) == 100.0 + HEARTBEAT_DEFAULT_S


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.DRAINING},
        {"active_streams": 2},
        {"stream_capacity": 5},
        {"message": "x"},
        {"streams_total": 1},
        {"rejected_total": 1},
        {"oldest_stream_at_s": 1.0},
    ],
)
def test_change_is_due_at_once_but_not_sooner_than_the_coalescing_time(change: dict[str, object]) -> None:
    state = AttachState()
    state.next_sequence(READY, 100.0)

    assert state.due_at(replace(READY, **change)) == 100.0 + COALESCE_S  # type: ignore[arg-type]


def test_measurements_are_no_change() -> None:
    state = AttachState()
    state.next_sequence(READY, 100.0)

    measured = replace(READY, event_loop_lag_s=3.0, resident_bytes=10)

    assert state.due_at(measured) == 100.0 + HEARTBEAT_DEFAULT_S
    assert not state.unsent(measured)


def test_sequence_counts_up_over_all_calls() -> None:
    state = AttachState()
    first = state.next_sequence(READY, 1.0)
    state.disconnected()

    assert (first, state.next_sequence(READY, 2.0)) == (1, 2)


def test_after_a_lost_call_the_whole_state_is_due() -> None:
    state = AttachState()
    state.next_sequence(READY, 100.0)

    state.disconnected()

    assert not state.attached
    assert state.unsent(READY)
    assert state.due_at(READY) <= 100.0


def test_pauses_double_up_to_two_seconds_and_start_anew_after_a_success() -> None:
    state = AttachState()

    pauses = [state.disconnected() for _ in range(7)]
    state.registered(2.0)

    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert state.disconnected() == 0.1


def test_controller_sets_the_heartbeat_within_bounds() -> None:
    for asked, kept in ((1.0, 1.0), (0.0, HEARTBEAT_DEFAULT_S), (0.001, 0.1), (9999.0, 60.0)):
        state = AttachState()
        state.next_sequence(READY, 0.0)

        state.registered(asked)

        assert state.due_at(READY) == kept


def test_commands_of_an_older_epoch_are_refused() -> None:
    state = AttachState()

    answers = [state.may_command(epoch) for epoch in (3, 3, 5, 4, 5)]

    assert answers == [True, True, True, False, True]
    assert state.epoch == 5


@given(st.lists(st.integers(0, 100)))
def test_epoch_never_goes_back(epochs: list[int]) -> None:
    state = AttachState()
    newest = 0

    for epoch in epochs:
        assert state.may_command(epoch) is (epoch >= newest)
        newest = max(newest, epoch)

    assert state.epoch == newest


@given(st.integers(1, 10_000))
def test_pause_is_bounded_after_any_number_of_failures(failures: int) -> None:
    state = AttachState()

    assert all(0 < state.disconnected() <= BACK_OFF_MAX_S for _ in range(failures))
