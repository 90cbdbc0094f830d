"""Ours and the autoscalers of other systems under the same streams, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock_controller.simulate import report
from penstock_controller.simulate.autoscaler import AutoscalerFactory, OurAutoscaler
from penstock_controller.simulate.baselines.catalogue import BASELINES
from penstock_controller.simulate.engine import simulate, streams_of
from penstock_controller.simulate.recording import RunRecord
from penstock_controller.simulate.report import FIGURES, Report, Summary, number_text, report_of, summarise
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.workload import Workload

COLUMNS = {
    "replica_hours": "REPLICA-HOURS",
    "wait_p95_s": "WAIT P95 S",
    "wait_p99_s": "P99 S",
    "rejected_percent": "REJECTED %",
    "streams_cut": "CUT",
    "scale_actions_per_hour": "ACTIONS/H",
    "flaps": "FLAPS",
    "utilisation_mean_percent": "IN USE %",
    "time_to_capacity_s": "TO CAPACITY S",
}
"""Figures of the table with their headings; all others are in the JSON."""

SAME_WAIT_S = 0.05
"""Waits that differ by less are the same: an edge does not hear of a free slot more often than this."""

SAME_HOURS = 0.005
"""Share by which replica-hours may differ and still be the same."""


class ComparisonError(ValueError):
    """There is no such policy; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One policy with what it made of every seed."""

    name: str
    reports: tuple[Report, ...]
    first: RunRecord
    """The run of the first seed, for a plot."""

    @property
    def summary(self) -> Summary:
        return summarise(self.reports)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Policies under the same streams, ours first."""

    workload: str
    seeds: tuple[int, ...]
    contenders: tuple[Contender, ...]

    def beaten_by(self) -> list[str]:
        """Names those that beat the first one, see `dominates`."""
        ours, *others = self.contenders
        return [other.name for other in others if dominates(other.summary, ours.summary)]


def dominates(challenger: Summary, ours: Summary) -> bool:
    """Whether another policy is better on both the p95 wait and the replica-hours, each by more than a trifle.

    Means over the seeds count. Whether the other one reached that by cutting or rejecting streams plays no part.
    """
    wait, our_wait = challenger["wait_p95_s"], ours["wait_p95_s"]
    hours, our_hours = challenger["replica_hours"], ours["replica_hours"]
    if wait is None or our_wait is None or hours is None or our_hours is None:
        return False
    return wait.mean < our_wait.mean - SAME_WAIT_S and hours.mean < our_hours.mean * (1 - SAME_HOURS)


def chosen(names: Sequence[str]) -> dict[str, AutoscalerFactory]:
    """Returns the factories of the named baselines, or of all when none is named.

    Raises:
        ComparisonError: One is not known.
    """
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise ComparisonError(f"--compare {unknown[0]}: there is no such policy; there are {', '.join(BASELINES)}")
    return {name: BASELINES[name] for name in BASELINES if name in names or not names}


def compare(
    settings: SimulationSettings,
    workload: Workload,
    seeds: Sequence[int],
    baselines: Mapping[str, AutoscalerFactory],
) -> Comparison:
    """Runs ours and the baselines with every seed; the streams and the cold starts of a seed are the same for all.

    Raises:
        SimulationError: An invariant was broken.
        WorkloadError: The streams are too many.
    """
    reports: dict[str, list[Report]] = {}
    first: dict[str, RunRecord] = {}
    for seed in seeds:
        streams = streams_of(workload, seed)
        for make in (OurAutoscaler, *baselines.values()):
            autoscaler = make(settings.scaling)
            record = simulate(replace(settings, seed=seed), streams, autoscaler)
            first.setdefault(autoscaler.name, record)
            reports.setdefault(autoscaler.name, []).append(report_of(record))
    contenders = tuple(Contender(name, tuple(rows), first[name]) for name, rows in reports.items())
    return Comparison(workload.text, tuple(seeds), contenders)


def render_table(comparison: Comparison) -> str:
    """Returns one line per policy, and the verdict."""
    rows = [["POLICY", *COLUMNS.values()]]
    rows += [[one.name, *(_cell(one.summary, name) for name in COLUMNS)] for one in comparison.contenders]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for name, *cells in rows]
    count = len(comparison.seeds)
    note = [f"means of {count} seeds ±standard deviation", ""] if count > 1 else []
    return "\n".join([*lines, "", *note, verdict(comparison), ""])


def verdict(comparison: Comparison) -> str:
    """Says in one sentence whether ours was beaten."""
    ours = comparison.contenders[0]
    better = comparison.beaten_by()
    by = f"by {', '.join(better)}" if better else "by none of them"
    cut = sum(int(one["streams_cut"] or 0) for one in ours.reports)
    return f"{ours.name} cut {cut} streams, and was beaten on p95 wait and replica-hours at once {by}."


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Returns the stable JSON form: figures per policy as those of a single one, and who beats ours."""
    return {
        "workload": comparison.workload,
        "policies": [
            {"policy": one.name, **report.to_json(one.reports, comparison.seeds)} for one in comparison.contenders
        ],
        "beaten_by": comparison.beaten_by(),
    }


def _cell(summary: Summary, name: str) -> str:
    found = summary[name]
    if found is None:
        return "-"
    digits = FIGURES[name].digits
    mean = number_text(found.mean, digits)
    return f"{mean} ±{found.deviation:,.{max(digits, 1)}f}" if found.low != found.high else mean
