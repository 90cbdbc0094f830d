from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_runner.drain_ends import spread_ends

SECONDS = st.floats(0, 1e6)


@given(st.integers(0, 200), SECONDS, st.floats(-10, 1e6), st.integers())
def test_every_stream_ends_within_the_last_part_of_the_grace(
    streams: int, grace_s: float, spread_s: float, seed: int
) -> None:
    ends = spread_ends(streams, grace_s, spread_s, Random(seed).random)

    assert len(ends) == streams
    begin = grace_s - min(max(spread_s, 0.0), grace_s)
    assert all(begin - 1e-6 <= end <= grace_s + 1e-6 for end in ends)


@given(st.integers(1, 300), st.integers())
def test_never_more_than_two_ends_in_the_time_of_one(streams: int, seed: int) -> None:
    ends = sorted(spread_ends(streams, 100.0, 60.0, Random(seed).random))

    part = 60.0 / streams
    assert all(later - earlier >= part - 1e-6 for earlier, later in zip(ends, ends[2:], strict=False))


def test_the_oldest_stream_is_as_likely_late_as_early() -> None:
    draw = Random(7).random
    firsts = [spread_ends(5, 10.0, 10.0, draw)[0] for _ in range(4000)]

    assert sum(firsts) / len(firsts) == pytest.approx(5.0, abs=0.25)
    assert min(firsts) < 0.1 and max(firsts) > 9.9


@pytest.mark.parametrize("number", [0.0, 1.0])
def test_the_ends_of_the_range_of_random_numbers_do_no_harm(number: float) -> None:
    assert all(40.0 <= end <= 100.0 for end in spread_ends(7, 100.0, 60.0, lambda: number))
