from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.scaling.admissions import (
    SETTLE_S,
    STEP_S,
    Admissions,
    admitted,
    settled_at,
    with_streams,
)


def after(*counts: tuple[float, int]) -> Admissions:
    admissions: Admissions = ()
    for at, streams in counts:
        admissions = with_streams(admissions, streams, at)
    return admissions


def test_nothing_is_new_at_the_first_look() -> None:
    assert admitted(after((0.0, 40)), 40) == 0
    assert settled_at(after((0.0, 40))) is None


def test_rise_counts_as_admitted_for_a_moment() -> None:
    counts = [(0.0, 3), (5.0, 11)]
    assert admitted(after(*counts), 11) == 8
    assert settled_at(after(*counts)) == 5.0 + SETTLE_S

    counts.append((5.0 + SETTLE_S, 11))
    assert admitted(after(*counts), 11) == 0
    assert settled_at(after(*counts)) is None


def test_looks_without_a_change_do_not_prolong_it() -> None:
    looks = [(5.0 + tenths / 10, 11) for tenths in range(11)]

    assert admitted(after((0.0, 3), *looks), 11) == 0


def test_streams_that_end_take_admissions_with_them() -> None:
    assert admitted(after((0.0, 3), (5.0, 11), (5.1, 6)), 6) == 3
    assert settled_at(after((0.0, 3), (5.0, 11), (5.1, 6))) == 5.0 + SETTLE_S
    assert admitted(after((0.0, 3), (5.0, 11), (5.1, 2)), 2) == 0


def least(history: list[tuple[float, int]], since: float) -> int:
    """The least number of streams after `since`."""
    ends = [at for at, _ in history[1:]]
    return min([streams for (_, streams), end in zip(history, ends, strict=False) if end > since] + [history[-1][1]])


@given(st.lists(st.tuples(st.floats(0.0, 0.4), st.integers(0, 100)), min_size=1, max_size=80))
def test_it_is_the_rise_over_the_least_of_lately(changes: list[tuple[float, int]]) -> None:
    """Exact but for steps that are counted as one, which are forgotten up to a step too early."""
    now = 0.0
    history: list[tuple[float, int]] = []
    admissions: Admissions = ()
    for pause, streams in changes:
        now += pause
        history.append((now, streams))
        admissions = with_streams(admissions, streams, now)

        found = admitted(admissions, streams)

        assert len(admissions) <= SETTLE_S / STEP_S + 2
        assert streams - least(history, now - SETTLE_S + STEP_S + 1e-6) <= found
        assert found <= streams - least(history, now - SETTLE_S - 1e-6)


@pytest.mark.parametrize("streams", [0, 5])
def test_same_moment_may_be_looked_at_twice(streams: int) -> None:
    once = after((0.0, 0), (2.0, streams))

    assert with_streams(once, streams, 2.0) == once


def test_rises_that_follow_one_another_are_kept_in_few_steps() -> None:
    rising = after(*((index / 1000, index) for index in range(3000)))

    assert len(rising) <= SETTLE_S / STEP_S + 2
    assert admitted(rising, 2999) == pytest.approx(1000 * SETTLE_S, abs=1000 * STEP_S + 1)
