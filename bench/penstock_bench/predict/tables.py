"""The section on `predict` as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock_bench.predict.rows import BARS, Row
from penstock_bench.report import (
    bars_table,
    generator_line,
    missed,
    number,
    range_text,
    split_by_process,
    table,
    times,
)
from penstock_bench.samples import Measure, Results, Rounds, difference, median_of, ratio
from penstock_bench.section import Section

SECTION = Section(
    "<!-- Predict: written by bench/predict.py, kept by bench/run.py. -->",
    "<!-- End of predict. -->",
)
BASELINE = "direct"


def section(
    facts: Mapping[str, str],
    titles: Mapping[str, str],
    rows: Sequence[Row],
    results: Results,
    failures: Sequence[str] = (),
) -> str:
    """The whole section, without the marks around it."""
    parts = ["## Predict: requests over HTTP, beside a server without a hop"]
    parts.append("\n".join(f"- {what}: {value}" for what, value in facts.items()))
    parts.append("\n".join(f"- **{name}**: {title}" for name, title in titles.items()))
    asked = {row.key for row in rows}
    bars = [bar for bar in BARS if bar.scenario in asked]
    if bars and results:
        parts.append(bars_table(results, bars))
    if lost := missed(results, bars):
        parts.append(f"Missed: {len(lost)}. The notes at the end give profile and reason.")
    for row in rows:
        if row.key in results:
            parts += [f"**{row.key}: {row.title}**", row_table(row, results[row.key])]
    if failures:
        parts.append("Rounds without figures:\n\n" + "\n".join(f"- {failure}" for failure in failures))
    if line := generator_line(results):
        parts.append(line.replace("per message", "per request"))
    return "\n\n".join(parts) + "\n"


def row_table(row: Row, targets: Mapping[str, Rounds]) -> str:
    """One row, a line per server. Ratios and what is added are medians of those within each round."""
    head = ["server", "requests/s"]
    measures: list[tuple[str, Measure]] = [("p50 ms", lambda s: s.p50_ms), ("p99 ms", lambda s: s.p99_ms)]
    if row.is_streamed:
        firsts: list[tuple[str, Measure]] = [
            ("first part p50 ms", lambda s: s.first_p50_ms),
            ("first part p99 ms", lambda s: s.first_p99_ms),
        ]
        measures = firsts + [(f"all parts {name}", measure) for name, measure in measures]
        head += [part for name, _ in firsts for part in (name, f"{name.split()[2]} added")]
        head += [name for name, _ in measures[2:]]
    else:
        head += ["min–max", f"rate / {BASELINE}", *(name for name, _ in measures)]
    head += ["CPU µs/request", f"CPU / {BASELINE}", "by process"]
    return table(head, [_line(row, name, targets, measures) for name in targets])


def _line(row: Row, name: str, targets: Mapping[str, Rounds], measures: Sequence[tuple[str, Measure]]) -> Sequence[str]:
    rounds = targets[name]
    baseline = {} if name == BASELINE else targets.get(BASELINE, {})

    def compared(measure: Measure) -> str:
        return "" if name == BASELINE else times(ratio(rounds, baseline, measure))

    cells = [name, number(median_of(rounds, lambda s: s.per_s), 0)]
    if not row.is_streamed:
        cells += [range_text(rounds, lambda s: s.per_s), compared(lambda s: s.per_s)]
    for position, (_, measure) in enumerate(measures):
        cells.append(number(median_of(rounds, measure)))
        if row.is_streamed and position < 2:
            cells.append("" if name == BASELINE else number(difference(rounds, baseline, measure)))
    cells += [number(median_of(rounds, lambda s: s.cpu_us_total)), compared(lambda s: s.cpu_us_total)]
    return [*cells, split_by_process(rounds, "cpu_us")]
