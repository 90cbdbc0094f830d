from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_controller.scaling.load_window import SAMPLES_MAX, Samples, average, with_load

WINDOW_S = 60.0


def after(*loads: tuple[float, float]) -> Samples:
    samples: Samples = ()
    for at, load in loads:
        samples = with_load(samples, load, WINDOW_S, at)
    return samples


def test_average_is_weighted_by_time() -> None:
    assert average(after((0.0, 10.0), (45.0, 2.0)), WINDOW_S, 60.0) == pytest.approx((45 * 10 + 15 * 2) / 60)


def test_average_of_what_is_known_stands_for_the_whole_window() -> None:
    assert average(after((0.0, 4.0)), WINDOW_S, 0.0) == 4.0
    assert average(after((0.0, 4.0), (1.0, 8.0)), WINDOW_S, 2.0) == pytest.approx(6.0)
    assert average((), WINDOW_S, 5.0) == 0.0


def test_what_is_older_than_the_window_is_forgotten() -> None:
    samples = after((0.0, 100.0), (10.0, 1.0), (75.0, 1.0))

    assert samples == ((10.0, 1.0),)
    assert average(samples, WINDOW_S, 75.0) == 1.0


def test_load_that_stays_is_no_new_sample() -> None:
    assert after((0.0, 3.0), (1.0, 3.0), (50.0, 3.0)) == ((0.0, 3.0),)


def test_last_load_of_a_moment_holds() -> None:
    assert after((0.0, 3.0), (5.0, 4.0), (5.0, 6.0)) == ((0.0, 3.0), (5.0, 6.0))


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0.001, 0.3), st.integers(0, 50)), min_size=150, max_size=300))
def test_number_of_samples_is_bounded_and_the_average_stays_close(changes: list[tuple[float, int]]) -> None:
    now = 0.0
    samples: Samples = ()
    exact: list[tuple[float, float]] = []
    for pause, load in changes:
        now += pause
        samples = with_load(samples, float(load), WINDOW_S, now)
        exact.append((now, float(load)))
        assert len(samples) <= SAMPLES_MAX
    now += 0.1

    assert average(samples, WINDOW_S, now) == pytest.approx(average(tuple(exact), WINDOW_S, now), abs=1.0)
    assert samples[-1][1] == exact[-1][1]
    assert [at for at, _ in samples] == sorted(at for at, _ in samples)


def test_merging_keeps_the_average_exactly_inside_the_window() -> None:
    samples = after(*((index * 0.1, float(index % 7)) for index in range(300)))
    exact = tuple((index * 0.1, float(index % 7)) for index in range(300))

    assert len(samples) == SAMPLES_MAX
    assert average(samples, WINDOW_S, 30.0) == pytest.approx(average(exact, WINDOW_S, 30.0))


def test_what_is_merged_is_spread_over_the_window() -> None:
    """Else a part of the window would become one long sample, which leaves it all at once."""
    samples = after(*((index * 0.05, float(index % 7)) for index in range(1200)))

    pauses = [after_at - at for (at, _), (after_at, _) in pairwise(samples)]
    assert max(pauses) <= 3 * WINDOW_S / SAMPLES_MAX
