"""What one run of the load generator said, and medians over several. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

CONTROL = "control"
"""Processes with this name are shown, but are no part of a message's cost."""


class LoadError(Exception):
    """The load generator gave no usable figures; the text says why."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one scenario against one target. Figures that the mode does not yield are None."""

    per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    first_p50_ms: float | None = None
    """To the first byte of an answer's body; None where a message is the answer."""
    first_p99_ms: float | None = None
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    """Microseconds of CPU per message, which is also CPU-seconds per million messages, by process name."""
    generator_us: float | None = None
    kib_per_stream: Mapping[str, float] = field(default_factory=dict)
    growth_mib: Mapping[str, float] = field(default_factory=dict)
    fd_growth: Mapping[str, int] = field(default_factory=dict)
    company_per_s: float | None = None
    """Messages per second of the groups beside the measured one."""
    errors: int = 0
    skipped: int = 0
    """Paced messages that could not be sent because two seconds' worth were still unanswered."""

    @property
    def cpu_us_total(self) -> float | None:
        return _sum_of_data_path(self.cpu_us)

    @property
    def kib_per_stream_total(self) -> float | None:
        return _sum_of_data_path(self.kib_per_stream)


def _sum_of_data_path(figures: Mapping[str, float]) -> float | None:
    values = [value for name, value in figures.items() if name != CONTROL]
    return sum(values) if values else None


def _by_name(processes: Iterable[Mapping[str, Any]], figure: Callable[[Mapping[str, Any]], float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for process in processes:
        sums[process["name"]] = sums.get(process["name"], 0.0) + figure(process)
    return sums


def parse_sample(line: str) -> Sample:
    """Reads a load generator's JSON line; raises LoadError when it reports a failure or is none."""
    try:
        said = json.loads(line)
    except json.JSONDecodeError as error:
        raise LoadError(f"the load generator did not answer in JSON: {line[:200]!r}") from error
    if "error" in said:
        raise LoadError(
            f"load generator: {said['error']} ({said.get('errors', 0)} errors, {said.get('opened', '?')} opened)"
        )
    processes = said["processes"]
    growth = _by_name(processes, lambda p: (p["rss_kib"][1] - p["rss_kib"][0]) / 1024)
    fds = {name: int(n) for name, n in _by_name(processes, lambda p: p["fds"][1] - p["fds"][0]).items()}
    if said["mode"] == "idle":
        conns = max(1, said["conns"])
        per_stream = _by_name(processes, lambda p: (p["rss_kib"][1] - p["rss_kib"][0]) / conns)
        return Sample(kib_per_stream=per_stream, growth_mib=growth, fd_growth=fds, errors=said["errors"])
    if said["mode"] == "churn":
        cycles = max(1, said["cycles"])
        return Sample(
            per_s=said["per_s"],
            p50_ms=said["cycle_p50_ms"],
            p99_ms=said["cycle_p99_ms"],
            cpu_us=_by_name(processes, lambda p: p["cpu_s"] / cycles * 1e6),
            growth_mib=growth,
            fd_growth=fds,
            errors=said["errors"],
        )
    first, *company = said["groups"]
    messages = sum(group["messages"] for group in said["groups"])
    elapsed = said["elapsed_s"]
    return Sample(
        per_s=first["messages"] / elapsed,
        p50_ms=first["p50_ms"] if first["messages"] else None,
        p99_ms=first["p99_ms"] if first["messages"] else None,
        first_p50_ms=first.get("first_p50_ms") if first["messages"] else None,
        first_p99_ms=first.get("first_p99_ms") if first["messages"] else None,
        cpu_us=_by_name(processes, lambda p: p["cpu_s"] / messages * 1e6) if messages else {},
        generator_us=said["generator_cpu_s"] / messages * 1e6 if messages else None,
        growth_mib=growth,
        fd_growth=fds,
        company_per_s=sum(group["messages"] for group in company) / elapsed if company else None,
        errors=said["errors"],
        skipped=sum(group["skipped"] for group in said["groups"]),
    )


Measure = Callable[[Sample], float | None]
Rounds = Mapping[int, Sample]
"""The samples of one target in one scenario, by number of the round."""
Results = Mapping[str, Mapping[str, Rounds]]
"""Scenario key -> target name -> rounds."""


def median_of(rounds: Rounds, measure: Measure) -> float | None:
    values = [value for sample in rounds.values() if (value := measure(sample)) is not None]
    return median(values) if values else None


def range_of(rounds: Rounds, measure: Measure) -> tuple[float, float] | None:
    values = [value for sample in rounds.values() if (value := measure(sample)) is not None]
    return (min(values), max(values)) if values else None


def paired(ours: Rounds, theirs: Rounds, measure: Measure, combine: Callable[[float, float], float]) -> float | None:
    """Median over the rounds that both have of combine(ours, theirs).

    Rounds run minutes apart on a machine whose speed drifts, the targets of one round seconds apart: so compare within
    a round first.
    """
    pairs = [
        (a, b)
        for number, sample in ours.items()
        if number in theirs and (a := measure(sample)) is not None and (b := measure(theirs[number])) is not None
    ]
    return median(combine(a, b) for a, b in pairs) if pairs else None


def ratio(ours: Rounds, theirs: Rounds, measure: Measure) -> float | None:
    return paired(ours, theirs, measure, lambda a, b: a / b if b else float("inf"))


def difference(ours: Rounds, theirs: Rounds, measure: Measure) -> float | None:
    return paired(ours, theirs, measure, lambda a, b: a - b)
