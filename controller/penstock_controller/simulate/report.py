"""The figures of a run, and of several. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from penstock_controller.simulate.oracle import integral, time_to_capacity, time_to_shrink
from penstock_controller.simulate.recording import UTILISATION_STEPS, RunRecord, Steps


@dataclass(frozen=True, slots=True)
class Figure:
    """How a figure is shown."""

    unit: str
    text: str
    digits: int = 2


FIGURES: dict[str, Figure] = {
    "streams": Figure("", "streams that arrived, reconnections included", 0),
    "wait_p50_s": Figure("s", "wait for admission: median"),
    "wait_p95_s": Figure("s", "wait for admission: 95 % are shorter"),
    "wait_p99_s": Figure("s", "wait for admission: 99 % are shorter"),
    "wait_max_s": Figure("s", "wait for admission: longest"),
    "rejected_percent": Figure("%", "streams that got no slot (line full, or waited too long)"),
    "streams_cut": Figure("", "streams ended because their replica was removed", 0),
    "replica_hours": Figure("h", "replicas from start to end: loading, ready and draining"),
    "gpu_hours_per_stream_hour": Figure("", "replica-hours per hour of open streams", 4),
    "utilisation_mean_percent": Figure("%", "slots of serving replicas in use, over time", 1),
    "utilisation_p95_percent": Figure("%", "the same: for 95 % of the time it was lower", 1),
    "oracle_replica_hours": Figure("h", "what perfect knowledge would have needed"),
    "over_provision": Figure("x", "replica-hours as a multiple of those"),
    "scale_actions_per_hour": Figure("/h", "changes of the target"),
    "flaps": Figure("", "rises of the target soon after a fall (see --flap-seconds)", 0),
    "time_to_capacity_s": Figure(
        "s", "after the rate jumps: longest delay from needing a replica to its being ready", 1
    ),
    "time_to_shrink_s": Figure("s", "after the rate falls: until half of what is needed no more is gone", 1),
    "starting_max": Figure("", "most replicas that loaded at one moment", 0),
    "fragmentation": Figure("", "share of the ready replicas that hold exactly one stream"),
    "failed_starts": Figure("", "starts that failed", 0),
}
"""Every figure, in the order of the tables."""

Report = Mapping[str, float | None]
"""A value per figure; None where it does not apply: no stream was admitted, or the rate never jumped."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several seeds."""

    mean: float
    low: float
    high: float
    deviation: float
    """Sample standard deviation; 0 for one seed."""


Summary = Mapping[str, Spread | None]


def report_of(record: RunRecord) -> Report:
    """Makes the figures of a run."""
    hours = record.horizon_s / 3600
    waits = array("d", sorted(record.waits))
    oracle_s = integral(record.oracle, 0.0, record.horizon_s)
    rejected = record.refused_full + record.refused_waited
    to_capacity, to_shrink = _delays(record)
    return {
        "streams": record.arrived,
        "wait_p50_s": quantile(waits, 0.50),
        "wait_p95_s": quantile(waits, 0.95),
        "wait_p99_s": quantile(waits, 0.99),
        "wait_max_s": waits[-1] if waits else None,
        "rejected_percent": _ratio(100 * rejected, record.arrived),
        "streams_cut": record.cut,
        "replica_hours": record.replica_s / 3600,
        "gpu_hours_per_stream_hour": _ratio(record.replica_s, record.stream_s),
        "utilisation_mean_percent": _ratio(100 * record.stream_s, record.serving_slots_s),
        "utilisation_p95_percent": _utilisation(record, 0.95),
        "oracle_replica_hours": oracle_s / 3600,
        "over_provision": _ratio(record.replica_s, oracle_s),
        "scale_actions_per_hour": _ratio(max(0, len(record.target_changes) - 1), hours),
        "flaps": flaps(record.target_changes, record.settings.flap_s),
        "time_to_capacity_s": to_capacity,
        "time_to_shrink_s": to_shrink,
        "starting_max": record.starting_max,
        "fragmentation": _ratio(record.single_s, record.ready_s),
        "failed_starts": record.failed_starts,
    }


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Returns the smallest value that is not below `share` of all (nearest rank)."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def flaps(targets: Steps, within_s: float) -> int:
    """Counts the rises that follow a fall within the time."""
    count, fell_at = 0, -math.inf
    for (_, before), (at, after) in pairwise(targets):
        if after < before:
            fell_at = at
        elif at - fell_at <= within_s:
            count += 1
            fell_at = -math.inf
    return count


def summarise(reports: Sequence[Report]) -> Summary:
    """Returns mean and spread of each figure; None where no seed has it."""
    summary: dict[str, Spread | None] = {}
    for name in FIGURES:
        values = [value for report in reports if (value := report[name]) is not None]
        summary[name] = spread(values) if values else None
    return summary


def spread(values: Sequence[float]) -> Spread:
    """Sums up values; there must be one at least."""
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(squares / (len(values) - 1)) if len(values) > 1 else 0.0
    return Spread(mean, min(values), max(values), deviation)


def render_table(reports: Sequence[Report]) -> str:
    """Returns the figures as a table; for several seeds with their spread."""
    summary = summarise(reports)
    several = len(reports) > 1
    rows: list[tuple[str, ...]]
    rows = [("FIGURE", "MEAN", "DEVIATION", "LOW", "HIGH", "") if several else ("FIGURE", "VALUE", "")]
    for name, figure in FIGURES.items():
        found = summary[name]
        values: list[float | None] = [None] * 4
        if found is not None:
            values = [found.mean, found.deviation, found.low, found.high]
        cells = ["-" if value is None else number_text(value, figure.digits) for value in values]
        rows.append((name, *cells[: 4 if several else 1], f"{figure.unit:<3} {figure.text}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells, row[-1]]).rstrip())
    return "\n".join(lines) + "\n"


def number_text(value: float, digits: int) -> str:
    """Returns a number with so many decimals; whole ones of a mean keep one where they are counted."""
    if digits == 0 and value != int(value):
        digits = 1
    return f"{value:,.{digits}f}"


def to_json(reports: Sequence[Report], seeds: Sequence[int]) -> dict[str, Any]:
    """Returns the stable JSON form. A figure that does not apply is null."""
    return {
        "summary": {
            name: None
            if found is None
            else {"mean": found.mean, "deviation": found.deviation, "low": found.low, "high": found.high}
            for name, found in summarise(reports).items()
        },
        "seeds": [{"seed": seed, **report} for seed, report in zip(seeds, reports, strict=True)],
    }


def _ratio(value: float, of: float) -> float | None:
    return value / of if of > 0 else None


def _utilisation(record: RunRecord, share: float) -> float | None:
    total = math.fsum(record.utilisation_s)
    if total <= 0:
        return None
    passed = 0.0
    for percent, spent in enumerate(record.utilisation_s):
        passed += spent
        if passed >= share * total:
            return 100.0 * percent / UTILISATION_STEPS
    return 100.0


def _delays(record: RunRecord) -> tuple[float | None, float | None]:
    """Returns the longest time to capacity of all rises, and the longest time to shrink of all falls."""
    rises: list[float] = []
    falls: list[float] = []
    changes = record.workload_changes
    ends = [*(change.at_s for change in changes[1:]), record.horizon_s]
    for change, end in zip(changes, ends, strict=False):
        if change.is_rise:
            rises.append(time_to_capacity(record.oracle, record.ready_changes, change.at_s, end))
        else:
            shrink = time_to_shrink(record.oracle, record.existing_changes, change.at_s, end)
            if shrink is not None:
                falls.append(shrink)
    return max(rises, default=None), max(falls, default=None)
