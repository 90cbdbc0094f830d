from __future__ import annotations

from penstock.cli.up.restart_policy import DEATHS_MAX, DELAY_FIRST_S, DELAY_MAX_S, WINDOW_S, restart_delay


def test_first_death_is_answered_soon() -> None:
    assert restart_delay([100.0], 100.0) == DELAY_FIRST_S


def test_delay_grows_and_is_bounded() -> None:
    delays = [restart_delay([100.0] * count, 100.0) for count in range(1, DEATHS_MAX)]
    numbers = [delay for delay in delays if delay is not None]
    assert len(numbers) == len(delays)
    assert numbers == sorted(numbers)
    assert numbers[-1] <= DELAY_MAX_S


def test_too_many_deaths_in_a_row_end_it() -> None:
    assert restart_delay([100.0] * DEATHS_MAX, 100.0) is None


def test_deaths_of_long_ago_are_forgotten() -> None:
    now = 100.0 + WINDOW_S
    assert restart_delay([100.0] * DEATHS_MAX + [now], now) == DELAY_FIRST_S
