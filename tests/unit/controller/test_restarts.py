from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.restarts import (
    BASE_DELAY_S,
    CRASH_LOOP_FAILURES,
    DELAY_MAX_S,
    FIRST_DELAY_S,
    GPU_LOOK_S,
    STABLE_AFTER_S,
    ExitKind,
    PlaceState,
    Restarts,
    delay_after,
)


def crash_row(count: int, *, lived_s: float = 1.0) -> list[float]:
    """Delays after `count` crashes of replicas that lived for `lived_s` each."""
    place, now, delays = Restarts(), 0.0, []
    for _ in range(count):
        place = place.started(now)
        now += lived_s
        place = place.exited(ExitKind.CRASH, "", now)
        assert place.next_start_at is not None
        delays.append(round(place.next_start_at - now, 6))
        now = place.next_start_at
    return delays


def test_first_crash_is_answered_at_once_and_further_ones_with_doubling_delays() -> None:
    assert crash_row(9) == [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_replica_that_lived_for_a_minute_ends_the_row() -> None:
    assert crash_row(3, lived_s=STABLE_AFTER_S + 1) == [FIRST_DELAY_S] * 3


def test_load_failure_is_failed_with_its_message_and_waits_longer() -> None:
    place = Restarts().started(0.0).exited(ExitKind.LOAD_FAILURE, "no weights", 3.0)

    assert (place.state, place.message, place.next_start_at) == (PlaceState.FAILED, "no weights", 3.0 + BASE_DELAY_S)
    assert not place.may_start(3.4)
    assert place.may_start(3.5)


def test_message_stays_while_the_next_replica_loads_and_goes_when_it_is_ready() -> None:
    loading = Restarts().started(0.0).exited(ExitKind.LOAD_FAILURE, "no weights", 3.0).started(4.0)

    assert loading.message == "no weights"
    assert loading.ready().message == ""


def test_occupied_place_never_starts_another() -> None:
    assert not Restarts().started(0.0).may_start(1e9)


def test_restarts_count_starts_after_the_first() -> None:
    place = Restarts().started(0.0)
    assert place.restarts == 0
    assert place.exited(ExitKind.CRASH, "", 1.0).started(2.0).restarts == 1


def test_released_place_may_start_at_once_and_forgets_failures() -> None:
    place = Restarts().started(0.0).exited(ExitKind.CRASH, "", 1.0).started(2.0).released()

    assert (place.state, place.failures, place.may_start(2.0)) == (PlaceState.EMPTY, 0, True)


def test_vacated_place_may_start_at_once_and_remembers_failures() -> None:
    place = Restarts().started(0.0).exited(ExitKind.CRASH, "", 1.0).started(2.0).vacated()

    assert (place.state, place.failures, place.may_start(2.0)) == (PlaceState.EMPTY, 1, True)


def test_adopted_place_counts_its_replica_as_started() -> None:
    place = Restarts().adopted(5.0)

    assert (place.state, place.starts, place.started_at) == (PlaceState.OCCUPIED, 1, 5.0)


def test_waiting_for_a_gpu_is_no_failure_and_does_not_slow_down() -> None:
    place, now = Restarts().started(0.0).exited(ExitKind.CRASH, "", 1.0), 10.0
    for _ in range(50):
        place = place.started(now).exited(ExitKind.NO_FREE_GPU, "no free GPU", now)
        assert (place.state, place.failures, place.starts) == (PlaceState.WAITING_FOR_GPU, 1, 1)
        assert place.message == "no free GPU"
        assert place.next_start_at == now + GPU_LOOK_S
        assert not place.may_start(now + GPU_LOOK_S - 0.1)
        now += GPU_LOOK_S
        assert place.may_start(now)

    assert place.started(now).ready().message == ""


def failing(count: int, now: float = 0.0) -> Restarts:
    place = Restarts()
    for _ in range(count):
        place = place.started(now).exited(ExitKind.CRASH, "", now)
    return place


def test_place_is_crash_looping_from_the_third_failure_until_a_replica_has_proved_itself() -> None:
    assert not failing(CRASH_LOOP_FAILURES - 1).is_crash_looping(0.0)
    place = failing(CRASH_LOOP_FAILURES)
    assert place.is_crash_looping(1e9)

    loading = place.started(100.0)
    assert loading.is_crash_looping(100.0 + STABLE_AFTER_S - 1)
    assert not loading.is_crash_looping(100.0 + STABLE_AFTER_S)
    assert not loading.exited(ExitKind.CRASH, "", 100.0 + STABLE_AFTER_S).is_crash_looping(200.0)
    assert not place.released().is_crash_looping(100.0)


def test_place_that_waits_for_a_gpu_is_not_crash_looping() -> None:
    place = failing(CRASH_LOOP_FAILURES).started(1.0)

    assert not place.exited(ExitKind.NO_FREE_GPU, "no free GPU", 1.0).is_crash_looping(1.0)


@given(st.sampled_from(ExitKind), st.integers(1, 10_000))
def test_delay_is_bounded_and_never_falls(kind: ExitKind, failures: int) -> None:
    assert FIRST_DELAY_S <= delay_after(kind, failures) <= delay_after(kind, failures + 1) <= DELAY_MAX_S
