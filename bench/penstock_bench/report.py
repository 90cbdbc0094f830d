"""The tables of a run as Markdown, for the terminal and for RESULTS.md. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from penstock_bench.bars import BARS, OURS, Bar, Verdict
from penstock_bench.samples import Measure, Results, Rounds, Sample, median_of, range_of, ratio
from penstock_bench.scenarios import Scenario

NOTES_MARK = "<!-- Everything below this line is written by hand and kept when the benchmark is run again. -->"
BASELINES = ("direct", "nginx")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal; every column but the first is right-aligned."""
    everything = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in everything) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * width) if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([line(everything[0]), f"| {' | '.join(rule)} |", *(line(row) for row in everything[1:])])


def number(value: float | None, digits: int | None = None) -> str:
    """About three figures, and thousands apart; "–" when there is none."""
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:,.{digits}f}"


def times(value: float | None) -> str:
    return "–" if value is None else f"{number(value)} ×"


def bars_table(results: Results, bars: Sequence[Bar] = BARS) -> str:
    """What was measured beside the bar and the goal; bars against a target that did not run are left out."""
    ran = {target for targets in results.values() for target in targets}
    rows = []
    for bar in bars:
        if bar.against is not None and bar.against not in ran:
            continue
        value = bar.value(results)
        measured = "–" if value is None else f"{number(value)} {bar.unit}"
        rows.append((bar.title, measured, bar.limit_text(bar.bar), bar.limit_text(bar.goal), bar.verdict(value).value))
    return table(("what", "measured", "bar", "goal", "verdict"), rows)


def missed(results: Results, bars: Sequence[Bar] = BARS) -> list[Bar]:
    return [bar for bar in bars if bar.verdict(bar.value(results)) is Verdict.MISSED]


def split_by_process(rounds: Rounds, of: str) -> str:
    """Medians of the field `of` by process name: "edge 7.1, runner 3.0"."""
    names: dict[str, None] = {}
    for sample in rounds.values():
        names.update(dict.fromkeys(getattr(sample, of)))
    parts = []
    for name in names:

        def one(sample: Sample, name: str = name) -> float | None:
            figures: Mapping[str, float] = getattr(sample, of)
            return figures.get(name)

        parts.append(f"{name} {number(median_of(rounds, one))}")
    return ", ".join(parts) or "–"


def _against(targets: Mapping[str, Rounds], name: str, measure: Measure, present: Sequence[str]) -> list[str]:
    return ["" if name == baseline else times(ratio(targets[name], targets[baseline], measure)) for baseline in present]


def range_text(rounds: Rounds, measure: Measure) -> str:
    found = range_of(rounds, measure)
    return "–" if found is None else f"{number(found[0])}–{number(found[1])}"


def scenario_table(scenario: Scenario, targets: Mapping[str, Rounds]) -> str:
    """One scenario, a line per target. Ratios are medians of the ratios within each round."""
    present = [name for name in BASELINES if name in targets]
    versus = [f"/ {name}" for name in present]
    if scenario.mode == "idle":
        head = ["target", "KiB per stream", *versus, "by process"]
        rows = [
            [
                name,
                number(median_of(rounds, lambda s: s.kib_per_stream_total)),
                *_against(targets, name, lambda s: s.kib_per_stream_total, present),
                split_by_process(rounds, "kib_per_stream"),
            ]
            for name, rounds in targets.items()
        ]
        return table(head, rows)
    # A paced load has the rate it was given: there the latency and the cost are what tell servers apart.
    measure: Measure = (lambda s: s.p99_ms) if scenario.paced else (lambda s: s.per_s)
    what = "p99" if scenario.paced else "rate"
    several = any(len(rounds) > 1 for rounds in targets.values())
    head = [
        "target",
        "per s",
        "p50 ms",
        "p99 ms",
        *([f"{what} min–max"] if several else []),
        *(f"{what} {v}" for v in versus),
    ]
    head += ["CPU µs/msg", *(f"CPU {v}" for v in versus), "by process"]
    company = any(s.company_per_s is not None for rounds in targets.values() for s in rounds.values())
    if company:
        head += ["others per s", "growth MiB"]
    rows = []
    for name, rounds in targets.items():
        row = [
            name,
            number(median_of(rounds, lambda s: s.per_s), 0),
            number(median_of(rounds, lambda s: s.p50_ms)),
            number(median_of(rounds, lambda s: s.p99_ms)),
            *([range_text(rounds, measure)] if several else []),
            *_against(targets, name, measure, present),
            number(median_of(rounds, lambda s: s.cpu_us_total)),
            *_against(targets, name, lambda s: s.cpu_us_total, present),
            split_by_process(rounds, "cpu_us"),
        ]
        if company:
            row += [number(median_of(rounds, lambda s: s.company_per_s), 0), split_by_process(rounds, "growth_mib")]
        rows.append(row)
    return table(head, rows)


def generator_line(results: Results) -> str:
    """What the load generator itself took, because it shares the cores."""
    figures = [
        sample.generator_us
        for targets in results.values()
        for rounds in targets.values()
        for sample in rounds.values()
        if sample.generator_us is not None
    ]
    if not figures:
        return ""
    least, most = number(min(figures)), number(max(figures))
    return f"The load generator took {least}–{most} µs of CPU per message on the same cores."


def document(
    facts: Mapping[str, str],
    titles: Mapping[str, str],
    skipped: Mapping[str, str],
    scenarios: Sequence[Scenario],
    results: Results,
    failures: Sequence[str],
) -> str:
    """The whole of RESULTS.md above the hand-written notes."""
    parts = ["# Benchmark results", "Written by `bench/run.py`; how to read it: `bench/README.md`."]
    parts.append("\n".join(f"- {what}: {value}" for what, value in facts.items()))
    lines = [f"- **{name}**: {title}" for name, title in titles.items()]
    lines += [f"- {name}: not run: {why}" for name, why in skipped.items()]
    parts += ["## Targets", "\n".join(lines)]
    if OURS in titles:
        asked = {scenario.key for scenario in scenarios}
        bars = [bar for bar in BARS if bar.scenario in asked]
        if bars:
            parts += ["## Against the budget of the design", bars_table(results, bars)]
        if lost := missed(results, bars):
            parts.append(f"Missed: {len(lost)}. The notes at the end give profile and reason.")
    for scenario in scenarios:
        if scenario.key in results:
            parts += [f"## {scenario.key}: {scenario.title}", scenario_table(scenario, results[scenario.key])]
    if failures:
        parts += ["## Rounds without figures", "\n".join(f"- {failure}" for failure in failures)]
    if line := generator_line(results):
        parts.append(line)
    return "\n\n".join(parts) + "\n"


def keep_notes(new: str, old: str) -> str:
    """`new`, followed by what a person wrote below the mark in `old`."""
    _, mark, notes = old.partition(NOTES_MARK)
    return f"{new}\n{NOTES_MARK}\n{notes if mark else chr(10) + '## Notes' + chr(10)}"
