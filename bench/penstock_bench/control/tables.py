"""The section on the control plane as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from penstock_bench.control.costs import Costs
from penstock_bench.control.fleet import Fleet
from penstock_bench.control.trial import Trial
from penstock_bench.report import number, table, times
from penstock_bench.section import Section

SECTION = Section(
    "<!-- Control plane: written by bench/control_plane.py, kept by bench/run.py. -->",
    "<!-- End of the control plane. -->",
)

_FIGURES: tuple[tuple[str, Callable[[Trial], float | None]], ...] = (
    ("CPU, % of a core", lambda t: t.cpu_percent),
    ("resident MiB", lambda t: t.resident_mib),
    ("statuses/s in", lambda t: t.statuses_per_s),
    ("snapshots/s per edge", lambda t: t.snapshots_per_s),
    ("KiB per snapshot", lambda t: t.snapshot_bytes / 1024),
    ("MiB/s out", lambda t: t.sent_mib_per_s),
    ("delay p50 ms", lambda t: t.delay_p50_ms),
    ("delay p99 ms", lambda t: t.delay_p99_ms),
    ("all attached after s", lambda t: t.attach_s),
)
"""What a trial says of the controller."""

_COMPANY: tuple[tuple[str, Callable[[Trial], float | None]], ...] = (
    ("simulated runners, CPU %", lambda t: t.runners_cpu_percent),
    ("simulated edges, CPU %", lambda t: t.edges_cpu_percent),
    ("their lateness p99 ms", lambda t: t.generator_lag_p99_ms),
    ("rest of the machine, CPU %", lambda t: t.others_cpu_percent),
)
"""What else ran on the same cores."""

_STEPS: tuple[tuple[str, Callable[[Costs], float]], ...] = (
    ("the policy alone (`decide`), ms", lambda c: c.decide_ms),
    ("one look: observe and decide, ms", lambda c: c.look_ms),
    ("one round of the reconciler, ms", lambda c: c.round_ms),
    ("one snapshot, built and serialized, ms", lambda c: c.snapshot_ms),
    ("one status taken in, µs", lambda c: c.report_us),
)


def title(fleet: Fleet) -> str:
    load = "churn" if fleet.churns else "idle"
    return f"{fleet.runners:,} runners, {fleet.edges} edges, {fleet.streams:,} streams, {load}"


def section(
    facts: Mapping[str, str],
    trials: Mapping[Fleet, Trial],
    costs: Sequence[Costs],
    failures: Sequence[str] = (),
) -> str:
    """The whole section, without the marks around it."""
    parts = ["## Control plane: simulated fleets against one `controller serve`"]
    parts.append("\n".join(f"- {what}: {value}" for what, value in facts.items()))
    if trials:
        parts += [_trials_table(trials, _FIGURES), "The same trials, what ran beside the controller on the same cores:"]
        parts.append(_trials_table(trials, _COMPANY))
        if growth := _growth_table(trials):
            parts += ["Growth from one fleet to the next:", growth]
    if costs:
        parts += ["Single steps (medians of CPU time, one deployment with all replicas, nothing else in the process):"]
        parts.append(_costs_table(costs))
    if failures:
        parts.append("Without figures:\n\n" + "\n".join(f"- {failure}" for failure in failures))
    return "\n\n".join(parts) + "\n"


def _trials_table(trials: Mapping[Fleet, Trial], figures: Sequence[tuple[str, Callable[[Trial], float | None]]]) -> str:
    head = ("fleet", *(name for name, _ in figures))
    return table(head, [(title(fleet), *(number(of(t)) for _, of in figures)) for fleet, t in trials.items()])


def _growth_table(trials: Mapping[Fleet, Trial]) -> str:
    """What became of each figure with ten times the fleet; empty when there is nothing to compare."""
    pairs = [
        (small, large)
        for small in trials
        for large in trials
        if small.churns == large.churns and large.runners == 10 * small.runners
    ]
    if not pairs:
        return ""

    def grown(small: Fleet, large: Fleet, of: Callable[[Trial], float | None]) -> str:
        before, after = of(trials[small]), of(trials[large])
        return "–" if not before or after is None else times(after / before)

    head = ("figure", *(f"{s.runners:,} → {b.runners:,} {'churn' if s.churns else 'idle'}" for s, b in pairs))
    return table(head, [(name, *(grown(*pair, of) for pair in pairs)) for name, of in _FIGURES])


def _costs_table(costs: Sequence[Costs]) -> str:
    head = ("step", *(f"{c.replicas:,} replicas" for c in costs))
    return table(head, [(name, *(number(of(c)) for c in costs)) for name, of in _STEPS])
