from __future__ import annotations

import pytest

from penstock.trunk.pacing import (
    BYTES_ENOUGH,
    HOLD_OFF_S,
    INTERVAL_S,
    ITEMS_ENOUGH,
    MEASURE_S,
    RATE_OFF_MIN,
    RATE_ON_MAX,
    RATE_ON_MIN,
    RETRIAL_S,
    Pacer,
)


class Load:
    """Writes to a pacer on a clock of its own. A write takes no time."""

    def __init__(self, items_per_write: int = 1, size: int = 100) -> None:
        self.now = 1000.0
        self.items_per_write = items_per_write
        self.size = size
        self.pacer = Pacer(self.now)

    def run(self, rate: float, seconds: float = 5 * MEASURE_S) -> float:
        """Writes at `rate` items a second, whatever the pacer answers. Returns the pause after the last write."""
        pause = 0.0
        step = self.items_per_write / rate
        for _ in range(max(2, round(seconds / step))):
            self.now += step
            pause = self.pacer.wrote(self.items_per_write, self.size, self.now, self.now)
        return pause

    def run_closed(self, rate: float, paced_rate: float, seconds: float) -> float:
        """Clients that wait for answers: slower while the writer pauses. Returns the share of paced writes."""
        paced = writes = 0
        end = self.now + seconds
        while self.now < end:
            self.now += self.items_per_write / (paced_rate if self.pacer.is_pacing else rate)
            paced += self.pacer.wrote(self.items_per_write, self.size, self.now, self.now) > 0
            writes += 1
        return paced / writes


def test_the_first_writes_come_at_once() -> None:
    pacer = Pacer(5.0)

    times = [5.0 + MEASURE_S * part / 10 for part in range(10)]
    assert [pacer.wrote(1000, 10, now, now) for now in times] == [0.0] * 10


@pytest.mark.parametrize("rate", [10, 1000, RATE_ON_MIN * 0.95, RATE_ON_MAX * 1.05, 1_000_000])
def test_rates_outside_the_band_are_not_paced(rate: float) -> None:
    assert Load().run(rate) == 0.0


@pytest.mark.parametrize("rate", [RATE_ON_MIN * 1.05, 9_600, RATE_ON_MAX * 0.95])
@pytest.mark.parametrize("items_per_write", [1, 10])
def test_rates_inside_the_band_are_paced(rate: float, items_per_write: int) -> None:
    assert Load(items_per_write).run(rate) == INTERVAL_S


def test_the_time_that_a_write_takes_is_part_of_the_interval() -> None:
    load = Load()
    load.run(9_600)

    assert load.pacer.wrote(1, 100, load.now, load.now + 0.0004) == pytest.approx(INTERVAL_S - 0.0004)
    assert load.pacer.wrote(1, 100, load.now, load.now + 0.5) == 0.0


@pytest.mark.parametrize(("items", "size"), [(ITEMS_ENOUGH, 100), (1, BYTES_ENOUGH)])
def test_nothing_is_waited_for_behind_a_large_batch(items: int, size: int) -> None:
    load = Load()
    load.run(9_600)

    assert load.pacer.wrote(items, size, load.now, load.now) == 0.0
    assert load.pacer.wrote(items - 1, size - 1, load.now, load.now) == INTERVAL_S


@pytest.mark.parametrize("edge", [RATE_ON_MIN * 0.9, RATE_OFF_MIN * 1.1, RATE_ON_MAX * 1.1])
def test_pacing_once_begun_goes_on_where_it_would_not_begin(edge: float) -> None:
    load = Load()
    assert load.run(edge) == 0.0

    assert load.run(9_600) == INTERVAL_S

    assert load.run(edge) == INTERVAL_S


@pytest.mark.parametrize("rate", [RATE_OFF_MIN * 0.9, 1.0])
def test_pacing_ends_when_the_load_is_gone(rate: float) -> None:
    load = Load()
    load.run(9_600)

    assert load.run(rate) == 0.0


def test_clients_that_wait_for_answers_are_not_slowed_down() -> None:
    """Pacing is tried for two measurements, then left alone for HOLD_OFF_S."""
    share = Load().run_closed(20_000, 12_000, seconds=3 * HOLD_OFF_S)

    assert 0 < share < 0.05


def test_load_that_does_not_wait_for_answers_stays_paced() -> None:
    share = Load().run_closed(9_600, 9_600, seconds=5 * RETRIAL_S)

    assert share > 0.99


def test_a_change_from_open_to_closed_load_is_noticed() -> None:
    load = Load()
    load.run_closed(9_600, 9_600, seconds=RETRIAL_S / 2)

    load.run_closed(20_000, 12_000, seconds=RETRIAL_S)

    assert load.run_closed(20_000, 12_000, seconds=HOLD_OFF_S) < 0.1


def test_a_rate_that_wavers_around_a_threshold_does_not_flap() -> None:
    load = Load()
    states = []
    for turn in range(20):
        load.run(RATE_ON_MIN * (1.1 if turn % 2 else 0.95), 3 * MEASURE_S)
        states.append(load.pacer.is_pacing)

    assert states == [False] + [True] * 19


def test_a_burst_after_silence_is_written_at_once() -> None:
    load = Load()
    load.run(9_600)
    load.now += 60.0

    assert load.pacer.wrote(1, 100, load.now, load.now) == 0.0


def test_time_that_stands_still_is_no_division_by_zero() -> None:
    pacer = Pacer(7.0)

    assert pacer.wrote(100_000, 100, 7.0, 7.0) == 0.0
