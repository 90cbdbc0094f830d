from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.simulate.oracle import integral, level_at, oracle_of, time_to_capacity, time_to_shrink
from penstock_testing.simulated import streams


def test_the_oracle_has_as_many_replicas_as_the_streams_need_at_each_moment() -> None:
    given_streams = streams([(10, 100), (20, 20), (30, 5)], 200)

    assert oracle_of(given_streams, 1, 0, 10) == [(0.0, 0), (10, 1), (20, 2), (30, 3), (35, 2), (40, 1), (110, 0)]
    assert oracle_of(given_streams, 2, 0, 10) == [(0.0, 0), (10, 1), (30, 2), (35, 1), (110, 0)]


def test_the_oracle_keeps_to_the_limits() -> None:
    given_streams = streams([(10, 100), (20, 20), (30, 5)], 200)

    assert oracle_of(given_streams, 1, 1, 2) == [(0.0, 1), (20, 2), (40, 1)]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=30),
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_the_oracle_is_exact(rows: list[tuple[float, float]], slots: int, least: int, more: int) -> None:
    most = max(1, least + more)
    steps = oracle_of(streams(rows, 200), slots, least, most)

    for moment in range(120):
        active = sum(at <= moment < at + length for at, length in rows)
        assert level_at(steps, moment) == min(most, max(least, -(-active // slots)))
    assert [at for at, _ in steps] == sorted({at for at, _ in steps})


def test_an_integral_is_taken_between_two_moments() -> None:
    steps = [(0.0, 2), (10.0, 4), (20.0, 1)]

    assert integral(steps, 0, 30) == 20 + 40 + 10
    assert integral(steps, 5, 15) == 10 + 20


def test_time_to_capacity_is_the_longest_delay_behind_the_need() -> None:
    oracle = [(0.0, 1), (100.0, 2), (110.0, 4)]
    ready = [(0.0, 1), (130.0, 2), (150.0, 3), (190.0, 4)]

    assert time_to_capacity(oracle, ready, 100, 1000) == 80
    assert time_to_capacity(oracle, [(0.0, 4)], 100, 1000) == 0
    assert time_to_capacity(oracle, [(0.0, 1)], 100, 1000) == 900


def test_time_to_shrink_is_until_half_of_the_surplus_is_gone() -> None:
    oracle = [(0.0, 10), (100.0, 2)]

    assert time_to_shrink(oracle, [(0.0, 12), (300.0, 8), (500.0, 7), (900.0, 2)], 100, 1000) == 400
    assert time_to_shrink(oracle, [(0.0, 12)], 100, 1000) == 900
    assert time_to_shrink(oracle, [(0.0, 2)], 100, 1000) is None


def test_before_the_first_step_there_is_nothing() -> None:
    assert level_at([(5.0, 3)], 4.9) == 0
    assert level_at([(5.0, 3)], 5.0) == pytest.approx(3)
