"""The performance budget of DESIGN section 10 as data, and how a run compares with it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from penstock_bench.samples import Measure, Results, Sample, difference, median_of, ratio

OURS = "penstock"


class Verdict(StrEnum):
    GOAL = "goal"
    BAR = "bar"
    MISSED = "MISSED"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the budget. `at_least`: more is better. `against` None: the figure itself, not a comparison."""

    title: str
    scenario: str
    measure: Measure
    bar: float
    goal: float
    at_least: bool
    against: str | None = None
    how: Literal["ratio", "difference"] = "ratio"
    unit: str = "×"

    def value(self, results: Results) -> float | None:
        targets = results.get(self.scenario, {})
        ours = targets.get(OURS)
        if not ours:
            return None
        if self.against is None:
            return median_of(ours, self.measure)
        theirs = targets.get(self.against)
        if not theirs:
            return None
        compare = ratio if self.how == "ratio" else difference
        return compare(ours, theirs, self.measure)

    def verdict(self, value: float | None) -> Verdict:
        if value is None:
            return Verdict.NOT_MEASURED
        if self._holds(value, self.goal):
            return Verdict.GOAL
        return Verdict.BAR if self._holds(value, self.bar) else Verdict.MISSED

    def _holds(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit

    def limit_text(self, limit: float) -> str:
        return f"{'≥' if self.at_least else '≤'} {limit:g} {self.unit}"


def _per_s(sample: Sample) -> float | None:
    return sample.per_s


def _p50(sample: Sample) -> float | None:
    return sample.p50_ms


def _p99(sample: Sample) -> float | None:
    return sample.p99_ms


def _cpu(sample: Sample) -> float | None:
    return sample.cpu_us_total


def _kib(sample: Sample) -> float | None:
    return sample.kib_per_stream_total


def _throughput(against: str, title: str, limits: dict[str, tuple[float, float]]) -> list[Bar]:
    rows = {
        "s1": "100 B, 1 in flight",
        "s16": "100 B, 16 in flight",
        "m16": "4 KiB, 16 in flight",
        "l2": "64 KiB, 2 in flight",
    }
    return [
        Bar(f"messages/s, {rows[key]}, against {title}", key, _per_s, bar, goal, True, against)
        for key, (bar, goal) in limits.items()
    ]


_EVERY_ROW = ("s1", "s16", "m16", "l2")

BARS: tuple[Bar, ...] = (
    *_throughput("direct", "direct", {"s1": (0.8, 1.2), "s16": (2.5, 5), "m16": (1.5, 2.5), "l2": (0.45, 1)}),
    *_throughput("ray", "Ray Serve as shipped", dict.fromkeys(_EVERY_ROW, (20, 40))),
    *_throughput("ray-haproxy", "Ray Serve in its HAProxy mode", dict.fromkeys(_EVERY_ROW, (1, 2))),
    Bar("9,600 messages/s paced: p99", "r150", _p99, 3, 1, False, unit="ms"),
    Bar("9,600 messages/s paced: CPU per message, against nginx + direct", "r150", _cpu, 1.3, 1, False, "nginx"),
    Bar("p50 added to direct at 64 × 20 messages/s", "r20", _p50, 0.45, 0.25, False, "direct", "difference", "ms"),
    Bar("resident memory per idle stream, edge + runner", "idle", _kib, 20, 12, False, unit="KiB"),
    Bar("light p99 beside two 64 KiB streams, against nginx + direct", "beside", _p99, 1.5, 1, False, "nginx"),
)
