from __future__ import annotations

import pytest

from penstock_bench.bars import BARS, Bar, Verdict
from penstock_bench.samples import Results, Sample


def rate_bar() -> Bar:
    return Bar("rate", "s1", lambda s: s.per_s, bar=0.8, goal=1.2, at_least=True, against="direct")


def results(ours: float, theirs: float) -> Results:
    return {"s1": {"penstock": {0: Sample(per_s=ours)}, "direct": {0: Sample(per_s=theirs)}}}


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(120, Verdict.GOAL), (119, Verdict.BAR), (80, Verdict.BAR), (79, Verdict.MISSED)],
)
def test_more_is_better(ours: float, verdict: Verdict) -> None:
    bar = rate_bar()

    assert bar.verdict(bar.value(results(ours, 100))) is verdict


@pytest.mark.parametrize(
    ("p99", "verdict"), [(1.0, Verdict.GOAL), (2.9, Verdict.BAR), (3.0, Verdict.BAR), (3.1, Verdict.MISSED)]
)
def test_less_is_better(p99: float, verdict: Verdict) -> None:
    bar = Bar("p99", "r150", lambda s: s.p99_ms, bar=3, goal=1, at_least=False, unit="ms")

    assert bar.verdict(bar.value({"r150": {"penstock": {0: Sample(p99_ms=p99)}}})) is verdict


def test_a_difference_is_added_latency() -> None:
    bar = Bar("added", "r20", lambda s: s.p50_ms, 0.45, 0.25, False, "direct", "difference", "ms")
    measured: Results = {"r20": {"penstock": {0: Sample(p50_ms=0.5)}, "direct": {0: Sample(p50_ms=0.1)}}}

    assert bar.value(measured) == pytest.approx(0.4)


@pytest.mark.parametrize("missing", ["penstock", "direct"])
def test_nothing_measured_is_no_verdict(missing: str) -> None:
    measured = {"s1": {name: rounds for name, rounds in results(1, 1)["s1"].items() if name != missing}}
    bar = rate_bar()

    assert bar.verdict(bar.value(measured)) is Verdict.NOT_MEASURED


def test_every_goal_is_harder_than_its_bar() -> None:
    for bar in BARS:
        assert (bar.goal > bar.bar) is bar.at_least, bar.title


def test_a_limit_shows_its_direction_and_unit() -> None:
    assert rate_bar().limit_text(0.8) == "≥ 0.8 ×"
