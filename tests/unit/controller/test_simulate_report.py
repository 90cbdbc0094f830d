from __future__ import annotations

import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.recording import RunRecord
from penstock_controller.simulate.report import (
    FIGURES,
    flaps,
    number_text,
    quantile,
    render_table,
    report_of,
    summarise,
    to_json,
)
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.workload import RateChange


def record() -> RunRecord:
    settings = SimulationSettings(scaling=ScalingSettings(max_concurrency=4), flap_s=100.0)
    made = RunRecord("test", settings, 7200.0, (RateChange(1000.0, True), RateChange(4000.0, False)))
    made.waits = array("d", [5.0, 0.0, 1.0, 2.0])
    made.arrived, made.refused_full, made.refused_waited, made.cut = 10, 1, 2, 3
    made.stream_s, made.replica_s, made.serving_slots_s = 3600.0, 7200.0, 14400.0
    made.ready_s, made.single_s = 4000.0, 1000.0
    made.utilisation_s[10], made.utilisation_s[80], made.utilisation_s[100] = 90.0, 9.0, 1.0
    made.oracle = [(0.0, 1), (1000.0, 2), (4000.0, 1)]
    made.target_changes = [(0.0, 1), (1000.0, 3), (4500.0, 2), (4550.0, 3), (6000.0, 1)]
    made.ready_changes = [(0.0, 0), (60.0, 1), (1090.0, 3)]
    made.existing_changes = [(0.0, 1), (1000.0, 3), (6000.0, 1)]
    made.starting_max, made.failed_starts = 2, 1
    return made


def test_each_figure_is_what_its_text_says() -> None:
    figures = report_of(record())

    assert figures == {
        "streams": 10,
        "wait_p50_s": 1.0,
        "wait_p95_s": 5.0,
        "wait_p99_s": 5.0,
        "wait_max_s": 5.0,
        "rejected_percent": 30.0,
        "streams_cut": 3,
        "replica_hours": 2.0,
        "gpu_hours_per_stream_hour": 2.0,
        "utilisation_mean_percent": 25.0,
        "utilisation_p95_percent": 80.0,
        "oracle_replica_hours": pytest.approx(10_200 / 3600),
        "over_provision": pytest.approx(7200 / 10_200),
        "scale_actions_per_hour": 2.0,
        "flaps": 1,
        "time_to_capacity_s": 90.0,
        "time_to_shrink_s": 2000.0,
        "starting_max": 2,
        "fragmentation": 0.25,
        "failed_starts": 1,
    }
    assert list(figures) == list(FIGURES)


def test_what_does_not_apply_is_none() -> None:
    empty = report_of(RunRecord("test", SimulationSettings(scaling=ScalingSettings()), 3600.0))

    names = ("wait_p95_s", "rejected_percent", "over_provision", "time_to_capacity_s", "utilisation_p95_percent")
    assert [empty[name] for name in names] == [None] * 5
    assert "-" in render_table([empty])


def test_a_rise_long_after_a_fall_is_no_flap_and_each_fall_counts_once() -> None:
    assert flaps([(0, 1), (10, 2), (20, 1), (25, 2), (30, 3), (100, 2), (200, 3)], 50) == 1
    assert flaps([], 50) == 0


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_a_value_that_the_share_does_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)

    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) * (1 - 1e-12)


def test_several_seeds_are_shown_with_mean_and_spread() -> None:
    first, second = report_of(record()), {**report_of(record()), "replica_hours": 4.0, "time_to_shrink_s": None}
    found = summarise([first, second])["replica_hours"]

    assert found is not None
    assert (found.mean, found.low, found.high) == (3.0, 2.0, 4.0)
    assert found.deviation == pytest.approx(2**0.5)
    row = next(line for line in render_table([first, second]).splitlines() if line.startswith("replica_hours"))
    assert row.split()[:5] == ["replica_hours", "3.00", "1.41", "2.00", "4.00"]
    single = next(line for line in render_table([first]).splitlines() if line.startswith("replica_hours"))
    assert single.split()[:3] == ["replica_hours", "2.00", "h"]
    shrink = summarise([first, second])["time_to_shrink_s"]
    assert shrink is not None and shrink.mean == 2000.0


def test_the_json_form_has_every_figure_of_every_seed() -> None:
    document = json.loads(json.dumps(to_json([report_of(record())], [7])))

    assert document["seeds"][0]["seed"] == 7
    assert set(document["seeds"][0]) == {"seed", *FIGURES}
    assert document["summary"]["streams_cut"] == {"mean": 3, "deviation": 0, "low": 3, "high": 3}


def test_a_mean_of_whole_numbers_shows_its_fraction() -> None:
    assert (number_text(2.0, 0), number_text(2.55, 0), number_text(12345.678, 1)) == ("2", "2.5", "12,345.7")
