from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.simulate.baselines.moving_mean import TRIM_AT, MovingMean


def test_mean_weighs_each_load_with_the_time_for_which_it_lasted() -> None:
    window = MovingMean(60.0)
    window.record(0.0, 10)
    window.record(45.0, 50)

    assert window.mean(60.0) == pytest.approx((45 * 10 + 15 * 50) / 60)
    assert window.mean(60.0, 6.0) == 50


def test_load_before_the_window_is_forgotten() -> None:
    window = MovingMean(60.0)
    window.record(0.0, 1000)
    window.record(10.0, 0)

    assert window.mean(69.0) == pytest.approx(1000 / 60)
    assert window.mean(70.0) == 0


def test_young_window_means_the_time_since_its_first_record() -> None:
    window = MovingMean(60.0)
    assert window.mean(5.0) == 0

    window.record(5.0, 8)

    assert window.mean(5.0) == 8
    assert window.mean(6.0) == 8


@given(
    st.lists(st.tuples(st.floats(0.01, 20), st.integers(0, 1000)), min_size=1, max_size=60),
    st.floats(1, 60),
)
def test_mean_lies_between_the_least_and_the_greatest_load(steps: list[tuple[float, int]], span_s: float) -> None:
    window, now = MovingMean(60.0), 0.0
    for seconds, load in steps:
        now += seconds
        window.record(now, load)
    loads = [load for _, load in steps]

    assert min(loads) - 1e-6 <= window.mean(now + 1, span_s) <= max(loads) + 1e-6


def test_dropping_what_is_old_changes_no_mean() -> None:
    window, recent = MovingMean(60.0), MovingMean(60.0)
    count = 3 * TRIM_AT
    for step in range(count):
        window.record(step * 0.1, step % 7)
        if step >= count - 700:
            recent.record(step * 0.1, step % 7)

    assert window.mean(count * 0.1) == pytest.approx(recent.mean(count * 0.1))
    assert len(window._times) < 2 * TRIM_AT
