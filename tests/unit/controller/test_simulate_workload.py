from __future__ import annotations

from random import Random

import pytest

from penstock_controller.simulate.distributions import parse_distribution
from penstock_controller.simulate.workload import SHAPES, PoissonWorkload, RateChange, WorkloadError


def workload(shape: str, *, rate: float = 1.0, peak: float = 4.0, horizon_s: float = 3600.0) -> PoissonWorkload:
    durations = parse_distribution("exp:60")
    return PoissonWorkload(shape=shape, rate=rate, peak=peak, durations=durations, horizon_s=horizon_s)


def count(at: list[float], begin: float, end: float) -> int:
    return sum(begin <= moment < end for moment in at)


@pytest.mark.parametrize("shape", SHAPES)
def test_arrivals_are_in_order_within_the_run_and_the_same_for_the_same_seed(shape: str) -> None:
    first, again, other = (workload(shape).streams(Random(seed)) for seed in (5, 5, 6))

    assert list(first.arrived_at) == sorted(first.arrived_at)
    assert first.arrived_at[0] >= 0 and first.arrived_at[-1] < 3600
    assert (first.arrived_at, first.duration) == (again.arrived_at, again.duration)
    assert first.arrived_at != other.arrived_at
    assert len(first) == len(first.duration)


def test_a_step_multiplies_the_rate_in_its_second_third_and_says_when() -> None:
    streams = workload("step").streams(Random(1))
    at = list(streams.arrived_at)

    assert [count(at, 1200.0 * part, 1200.0 * (part + 1)) for part in range(3)] == [
        pytest.approx(1200, rel=0.1),
        pytest.approx(4800, rel=0.1),
        pytest.approx(1200, rel=0.1),
    ]
    assert streams.changes == (RateChange(1200.0, True), RateChange(2400.0, False))


def test_a_sine_swings_between_the_lowest_and_the_highest_rate() -> None:
    wave = workload("sine", horizon_s=7200.0)
    at = list(wave.streams(Random(1)).arrived_at)

    assert wave.rate_at(0.0) == pytest.approx(1.0)
    assert wave.rate_at(1800.0) == pytest.approx(4.0)
    assert wave.rate_at(3600.0) == pytest.approx(1.0)
    assert len(at) == pytest.approx(7200 * 2.5, rel=0.05)
    assert count(at, 1500, 2100) > 2.5 * count(at, 3300, 3900)


def test_a_flash_crowd_comes_in_the_middle_and_is_short() -> None:
    at = list(workload("flash", peak=10.0, horizon_s=7200.0).streams(Random(1)).arrived_at)

    assert count(at, 3600, 3900) == pytest.approx(3000, rel=0.1)
    assert count(at, 3900, 7200) == pytest.approx(3300, rel=0.1)


def test_a_rate_of_zero_brings_nobody() -> None:
    assert len(workload("poisson", rate=0.0).streams(Random(1))) == 0


def test_too_many_streams_are_refused_before_they_are_made() -> None:
    with pytest.raises(WorkloadError, match=r"about 5,400,000 streams, at most 5,000,000 .* lower --rate"):
        workload("poisson", rate=1500.0).streams(Random(1))


def test_the_text_names_rate_durations_and_length() -> None:
    assert workload("step").text == "step 1 to 4/s, durations exp:60, 1 h"
    assert workload("poisson").text == "poisson 1/s, durations exp:60, 1 h"
