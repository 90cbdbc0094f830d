"""The section on calls between chainlets as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock_bench.hop.rows import BARS, Row
from penstock_bench.report import bars_table, missed, number, range_text, split_by_process, table, times
from penstock_bench.samples import Results, Rounds, median_of, ratio
from penstock_bench.section import Section

SECTION = Section(
    "<!-- Hop: written by bench/hop.py, kept by bench/run.py. -->",
    "<!-- End of hop. -->",
)
BASELINE = "httpx"
TITLES = {
    "httpx": "FastAPI that calls FastAPI with httpx (uvicorn, httptools, uvloop), pydantic models as JSON",
    "httpx-8": "the same, kept to 8 connections: the pool of httpx looks at every connection for each call that waits",
    "httpx-raw": "the same, the array's bytes as the body, written by hand",
    "penstock": "chainlet, edge, chainlet: the same functions, `truss_chains` code",
}


def section(facts: Mapping[str, str], rows: Sequence[Row], results: Results, failures: Sequence[str] = ()) -> str:
    """The whole section, without the marks around it."""
    parts = ["## Chains: one hop from chainlet to chainlet, beside httpx + FastAPI"]
    parts.append("\n".join(f"- {what}: {value}" for what, value in facts.items()))
    parts.append("\n".join(f"- **{name}**: {title}" for name, title in TITLES.items()))
    asked = {row.key for row in rows}
    bars = [bar for bar in BARS if bar.scenario in asked]
    if bars and results:
        parts.append(bars_table(results, bars))
    if lost := missed(results, bars):
        parts.append(f"Missed: {len(lost)}.")
    for row in rows:
        if row.key in results:
            parts += [f"**{row.key}: {row.title}**", row_table(row, results[row.key])]
    if failures:
        parts.append("Rounds without figures:\n\n" + "\n".join(f"- {failure}" for failure in failures))
    return "\n\n".join(parts) + "\n"


def row_table(row: Row, targets: Mapping[str, Rounds]) -> str:
    """One row, a line per pair. Ratios are medians of those within each round."""
    head = ["pair", "calls/s", "min–max", *(["MB/s"] if row.bytes_both_ways else []), f"rate / {BASELINE}"]
    head += ["p50 ms", "p99 ms", "CPU µs/call", "by process"]
    return table(head, [_line(row, name, targets) for name in TITLES if name in targets])


def _line(row: Row, name: str, targets: Mapping[str, Rounds]) -> Sequence[str]:
    rounds = targets[name]
    per_s = median_of(rounds, lambda s: s.per_s)
    cells = [name, number(per_s, 0 if per_s is not None and per_s >= 100 else 1), range_text(rounds, lambda s: s.per_s)]
    if row.bytes_both_ways:
        cells.append(number(None if per_s is None else per_s * row.bytes_both_ways / 1e6, 0))
    baseline = {} if name == BASELINE else targets.get(BASELINE, {})
    cells.append("" if name == BASELINE else times(ratio(rounds, baseline, lambda s: s.per_s)))
    cells += [number(median_of(rounds, lambda s: s.p50_ms)), number(median_of(rounds, lambda s: s.p99_ms))]
    cells += [number(median_of(rounds, lambda s: s.cpu_us_total)), split_by_process(rounds, "cpu_us")]
    return cells
