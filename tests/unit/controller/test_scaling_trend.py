from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.scaling.trend import (
    AHEAD_MAX,
    REACTION_S,
    STARTUP_MAX_S,
    STEPS,
    WINDOW_MIN_S,
    Levels,
    changes_at,
    expected,
    startup_s,
    window_s,
    with_level,
)


def after(*counts: tuple[float, int], window: float = WINDOW_MIN_S) -> Levels:
    levels: Levels = ()
    for at, streams in counts:
        levels = with_level(levels, streams, window, at)
    return levels


def ramp(per_second: float, seconds: int, begin: int = 10) -> Levels:
    return after(*((float(at), begin + int(at * per_second)) for at in range(seconds + 1)))


def test_steady_rise_is_taken_to_go_on_for_the_time_of_a_start() -> None:
    assert expected(ramp(2.0, 60), 60.0) == pytest.approx(2 * (60 + REACTION_S), rel=0.1)
    assert expected(ramp(2.0, 60), 20.0) == pytest.approx(2 * (20 + REACTION_S), rel=0.1)


def test_level_before_a_rise_is_kept() -> None:
    assert after((0.0, 10), (0.1, 13), (0.2, 14)) == ((0.0, 10), (0.1, 14))


def test_nothing_is_expected_of_a_load_that_stays_or_falls() -> None:
    assert expected(after((0.0, 10)), 60.0) == 0
    assert expected(ramp(0.0, 60), 60.0) == 0
    assert expected(ramp(-0.1, 60), 60.0) == 0


def test_rise_that_has_ended_is_forgotten_with_the_window() -> None:
    counts = [(float(at), 10 + 2 * min(at, 30)) for at in range(60)]

    assert expected(after(*counts[:31]), 60.0) > 0
    assert expected(after(*counts[: 31 + int(WINDOW_MIN_S)]), 60.0) == 0


@pytest.mark.parametrize("before", [[(0.0, 10)], [(0.0, 10), (3.0, 9), (6.0, 10), (9.0, 9)]])
def test_jump_is_no_trend(before: list[tuple[float, int]]) -> None:
    """A crowd that comes at once has come: the streams that wait say how many replicas they need."""
    assert expected(after(*before, (12.0, 90)), 60.0) == 0
    assert expected(after(*before, (12.0, 90), (13.0, 90)), 60.0) == 0


def test_jump_within_a_trend_counts_for_little() -> None:
    quiet = [(0.0, 10), (3.0, 11), (6.0, 12), (9.0, 13)]

    assert expected(after(*quiet, (12.0, 90)), 60.0) <= (3 + 3) * (60 + REACTION_S) / WINDOW_MIN_S


def test_single_stream_is_no_trend() -> None:
    """With one slot per replica it would call for replicas that nobody needs."""
    assert expected(after((0.0, 0), (5.0, 1)), 60.0) == 0


def test_two_crowds_are_no_trend() -> None:
    assert expected(after((0.0, 0), (5.0, 13), (9.0, 53)), 60.0) == 0


def test_streams_that_come_back_are_no_trend() -> None:
    """As when a replica or an edge dies, and its clients connect again."""
    assert expected(after((0.0, 40), (5.0, 20), (6.0, 28), (7.5, 36), (9.0, 40)), 60.0) == 0


def test_nothing_is_expected_before_a_start_was_seen() -> None:
    assert startup_s(()) == 0.0
    assert expected(ramp(2.0, 60), 0.0) == 0
    assert changes_at(ramp(2.0, 60), 0.0) is None


def test_time_of_a_start_is_the_usual_one() -> None:
    assert startup_s((60.0, 62.0, 900.0)) == 62.0
    assert startup_s((1800.0,)) == STARTUP_MAX_S


def test_slow_starts_are_extrapolated_from_a_longer_window() -> None:
    assert window_s(5.0) == WINDOW_MIN_S
    assert window_s(300.0) == 300.0 / AHEAD_MAX


@given(
    st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(0, 50)), min_size=1, max_size=120),
    st.sampled_from([0.0, 10.0, 60.0, 300.0]),
)
def test_history_is_bounded_and_says_when_it_may_change(changes: list[tuple[float, int]], startup: float) -> None:
    now, window = 0.0, window_s(startup)
    levels: Levels = ()
    for pause, streams in changes:
        now += pause
        levels = with_level(levels, streams, window, now)

        assert len(levels) <= STEPS + 2
        assert levels[-1][1] == streams
        assert expected(levels, startup) >= 0
        again_at = changes_at(levels, startup)
        assert again_at is None or again_at > now
    again_at = changes_at(levels, startup)
    if again_at is not None:
        assert len(with_level(levels, levels[-1][1], window, again_at)) < len(levels)
