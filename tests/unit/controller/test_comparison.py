from __future__ import annotations

import json

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.baselines.catalogue import BASELINES
from penstock_controller.simulate.comparison import (
    COLUMNS,
    Comparison,
    ComparisonError,
    Contender,
    chosen,
    compare,
    dominates,
    render_table,
    to_json,
    verdict,
)
from penstock_controller.simulate.distributions import Distribution
from penstock_controller.simulate.recording import RunRecord
from penstock_controller.simulate.report import FIGURES, Report, Spread, Summary
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.workload import PoissonWorkload

SETTINGS = SimulationSettings(
    scaling=ScalingSettings(min_replica=1, max_replica=10, max_concurrency=4, scale_down_delay_s=60.0),
    cold_start=Distribution("const", (20.0,)),
)
WORKLOAD = PoissonWorkload(shape="step", rate=0.05, peak=4.0, durations=Distribution("exp", (120.0,)), horizon_s=1800.0)


def summary(wait_s: float | None, hours: float) -> Summary:
    def exactly(value: float | None) -> Spread | None:
        return None if value is None else Spread(value, value, value, 0.0)

    return {"wait_p95_s": exactly(wait_s), "replica_hours": exactly(hours)}


def report(wait_s: float, hours: float, cut: int = 0) -> Report:
    return {**dict.fromkeys(FIGURES, 1.0), "wait_p95_s": wait_s, "replica_hours": hours, "streams_cut": cut}


def contender(name: str, *reports: Report) -> Contender:
    return Contender(name, reports, RunRecord(name, SETTINGS, 1800.0))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(SETTINGS, WORKLOAD, [3, 4], chosen([]))


@pytest.mark.parametrize(
    ("challenger", "ours", "beaten"),
    [
        ((1.0, 40.0), (2.0, 50.0), True),
        ((1.0, 60.0), (2.0, 50.0), False),
        ((3.0, 40.0), (2.0, 50.0), False),
        ((2.0, 40.0), (2.0, 50.0), False),
        ((1.98, 40.0), (2.0, 50.0), False),  # nobody can tell these waits apart
        ((1.0, 49.9), (2.0, 50.0), False),
        ((None, 40.0), (2.0, 50.0), False),
    ],
)
def test_beaten_is_who_is_worse_on_both_by_more_than_a_trifle(
    challenger: tuple[float | None, float], ours: tuple[float, float], beaten: bool
) -> None:
    assert dominates(summary(*challenger), summary(*ours)) is beaten


def test_verdict_goes_by_means_and_names_who_beats_ours() -> None:
    ours = contender("penstock", report(2.0, 50.0), report(4.0, 50.0, cut=1))
    worse, better = contender("kpa", report(3.5, 40.0)), contender("hpa", report(2.5, 40.0, cut=99))

    assert Comparison("step", (1, 2), (ours, worse, better)).beaten_by() == ["hpa"]
    assert verdict(Comparison("step", (1, 2), (ours, worse, better))).startswith("penstock cut 1 streams")
    assert verdict(Comparison("step", (1, 2), (ours, worse))).endswith("by none of them.")


def test_unknown_policy_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ComparisonError, match=r"nomad.*kpa.*ray_serve"):
        chosen(["kpa", "nomad"])


def test_policies_come_in_the_order_of_the_catalogue() -> None:
    assert list(chosen(["ray_serve", "kpa"])) == ["kpa", "ray_serve"]
    assert list(chosen([])) == list(BASELINES)


def test_every_policy_has_the_same_streams(comparison: Comparison) -> None:
    assert [one.name for one in comparison.contenders] == ["penstock", *BASELINES]
    for number in range(2):
        new = {
            one.name: (one.reports[number]["streams"] or 0) - (one.reports[number]["streams_cut"] or 0)
            for one in comparison.contenders
        }
        assert len(set(new.values())) == 1, new
        assert len({one.reports[number]["oracle_replica_hours"] for one in comparison.contenders}) == 1


def test_only_policies_that_look_at_no_streams_cut_them(comparison: Comparison) -> None:
    cut = {one.name: sum(int(seed["streams_cut"] or 0) for seed in one.reports) for one in comparison.contenders}
    cutters = {name for name, count in cut.items() if count}

    assert "kpa" in cutters
    assert cutters <= {"kpa", "hpa", "ray_serve"}


def test_same_seeds_give_the_same_comparison(comparison: Comparison) -> None:
    again = compare(SETTINGS, WORKLOAD, [3, 4], chosen([]))

    assert to_json(again) == to_json(comparison)


def test_table_has_a_line_per_policy_and_a_verdict(comparison: Comparison) -> None:
    headings, *lines = render_table(comparison).splitlines()

    assert all(heading in headings for heading in COLUMNS.values())
    assert [line.split()[0] for line in lines[: len(BASELINES) + 1]] == ["penstock", *BASELINES]
    assert {len(line) for line in [headings, *lines[: len(BASELINES) + 1]]} == {len(headings)}
    assert "means of 2 seeds ±standard deviation" in lines
    assert lines[-1] == verdict(comparison)


def test_table_of_one_seed_has_no_spread() -> None:
    table = render_table(Comparison("step", (7,), (contender("penstock", report(1.0, 1.0)),)))

    assert "±" not in table


def test_json_has_every_figure_of_every_policy_and_seed(comparison: Comparison) -> None:
    document = json.loads(json.dumps(to_json(comparison)))

    assert [one["policy"] for one in document["policies"]] == ["penstock", *BASELINES]
    for one in document["policies"]:
        assert set(one["summary"]) == set(FIGURES)
        assert [seed["seed"] for seed in one["seeds"]] == [3, 4]
    assert document["beaten_by"] == comparison.beaten_by()
