from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.recording import SERIES_MAX, Recorder, RunRecord
from penstock_controller.simulate.replica import InvariantError
from penstock_controller.simulate.settings import SimulationSettings


def recorder(horizon_s: float = 1000.0) -> Recorder:
    settings = SimulationSettings(scaling=ScalingSettings(max_concurrency=4))
    return Recorder(RunRecord("test", settings, horizon_s), 4)


def test_sums_are_counts_times_the_time_for_which_they_held() -> None:
    kept = recorder()
    kept.replicas(0.0, starting=2)
    kept.replicas(10.0, starting=-2, ready=2)
    kept.advance(10.0)
    kept.active = 4
    kept.replicas(30.0, ready=-1, draining=1)
    kept.advance(40.0)

    record = kept.record
    assert record.replica_s == 2 * 40
    assert record.ready_s == 2 * 20 + 10
    assert record.stream_s == 4 * 30
    assert record.serving_slots_s == 8 * 30
    assert record.utilisation_s[50] == 30
    assert record.starting_max == 2
    assert record.ready_changes == [(0.0, 0), (10.0, 2), (30.0, 1)]
    assert record.existing_changes == [(0.0, 2)]


def test_a_change_back_at_one_moment_leaves_the_last_value() -> None:
    kept = recorder()
    kept.targets(5.0, 3, "burst")
    kept.targets(5.0, 2, "idle_replica")

    assert kept.record.target_changes == [(5.0, 2)]
    assert kept.record.rules == {"burst": 1, "idle_replica": 1}


def test_the_series_is_bounded_even_and_keeps_short_peaks_of_the_line() -> None:
    kept = recorder(2000.0)
    for second in range(2000):
        kept.waits(5, second + 0.3)
        kept.waits(-5, second + 0.31)
    kept.advance(2000.0)
    kept.finish()
    series = kept.record.series

    assert len(series.t) == SERIES_MAX == len(series.waiting) == len(series.target)
    assert series.t[:3] == [0.0, pytest.approx(1.0), pytest.approx(2.0)]
    assert set(series.waiting[1:]) == {5}


def test_counts_that_differ_from_the_replicas_are_noticed() -> None:
    kept = recorder()
    kept.check([])
    kept.replicas(0.0, ready=1)

    with pytest.raises(InvariantError, match="by the record"):
        kept.check([])
