from __future__ import annotations

import pytest

from penstock.trunk.pacing import (
    INTERVAL_S,
    MEASURE_S,
    RATE_OFF_MAX,
    RATE_OFF_MIN,
    RATE_ON_MAX,
    RATE_ON_MIN,
    Pacer,
)


class Load:
    """Writes to a pacer at a steady rate, on a clock of its own."""

    def __init__(self, items_per_write: int = 1) -> None:
        self.now = 1000.0
        self.items_per_write = items_per_write
        self.pacer = Pacer(self.now)

    def run(self, rate: float, seconds: float = 5 * MEASURE_S) -> float:
        """Writes at `rate` items a second. Returns the pause after the last write."""
        pause = 0.0
        step = self.items_per_write / rate
        for _ in range(max(2, round(seconds / step))):
            self.now += step
            pause = self.pacer.wrote(self.items_per_write, self.now)
        return pause


def test_the_first_writes_come_at_once() -> None:
    pacer = Pacer(5.0)

    assert [pacer.wrote(1000, 5.0 + MEASURE_S * part / 10) for part in range(10)] == [0.0] * 10


@pytest.mark.parametrize("rate", [10, 1000, RATE_ON_MIN * 0.95, RATE_ON_MAX * 1.05, 1_000_000])
def test_rates_outside_the_band_are_not_paced(rate: float) -> None:
    assert Load().run(rate) == 0.0


@pytest.mark.parametrize("rate", [RATE_ON_MIN * 1.05, 9_600, RATE_ON_MAX * 0.95])
@pytest.mark.parametrize("items_per_write", [1, 10])
def test_rates_inside_the_band_are_paced(rate: float, items_per_write: int) -> None:
    assert Load(items_per_write).run(rate) == INTERVAL_S


@pytest.mark.parametrize("edge", [RATE_ON_MIN * 0.9, RATE_OFF_MIN * 1.1, RATE_ON_MAX * 1.1, RATE_OFF_MAX * 0.9])
def test_pacing_once_begun_goes_on_where_it_would_not_begin(edge: float) -> None:
    load = Load()
    assert load.run(edge) == 0.0

    assert load.run(9_600) == INTERVAL_S

    assert load.run(edge) == INTERVAL_S


@pytest.mark.parametrize("rate", [RATE_OFF_MIN * 0.9, RATE_OFF_MAX * 1.1, 1.0])
def test_pacing_ends_when_the_load_is_gone_or_fills_batches_by_itself(rate: float) -> None:
    load = Load()
    load.run(9_600)

    assert load.run(rate) == 0.0


def test_a_rate_that_wavers_around_a_threshold_does_not_flap() -> None:
    load = Load()
    states = []
    for turn in range(20):
        load.run(RATE_ON_MIN * (1.1 if turn % 2 else 0.9), 2 * MEASURE_S)
        states.append(load.pacer.is_pacing)

    assert states == [False] + [True] * 19


def test_a_burst_after_silence_is_written_at_once() -> None:
    load = Load()
    load.run(9_600)
    load.now += 60.0

    assert load.pacer.wrote(1, load.now) == 0.0


def test_time_that_stands_still_is_no_division_by_zero() -> None:
    pacer = Pacer(7.0)

    assert pacer.wrote(100_000, 7.0) == 0.0
