from __future__ import annotations

from penstock_bench.hop.rows import BARS, ROWS
from penstock_bench.hop.tables import row_table, section
from penstock_bench.samples import Results, Sample

BY_KEY = {row.key: row for row in ROWS}


def sample(per_s: float) -> Sample:
    return Sample(per_s=per_s, p50_ms=8.0, p99_ms=16.0, cpu_us={"edge": 100.0, "caller": 50.0})


def cells(table: str, pair: str) -> dict[str, str]:
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    return dict(zip(lines[0], next(line for line in lines[2:] if line[0] == pair), strict=True))


def test_every_bar_has_its_row_its_baseline_and_a_goal_that_is_harder() -> None:
    for bar in BARS:
        assert bar.against in BY_KEY[bar.scenario].baselines
        assert bar.goal > bar.bar


def test_calls_are_compared_within_a_round() -> None:
    targets = {"httpx": {0: sample(1000), 1: sample(2000)}, "penstock": {0: sample(3000), 1: sample(4000)}}

    line = cells(row_table(BY_KEY["j64"], targets), "penstock")

    assert line["calls/s"] == "3,500"
    assert line["rate / httpx"] == "2.50 ×"
    assert line["CPU µs/call"] == "150"
    assert "MB/s" not in line


def test_arrays_are_counted_both_ways() -> None:
    targets = {"httpx": {0: sample(10)}, "httpx-raw": {0: sample(40)}, "penstock": {0: sample(50)}}

    table = row_table(BY_KEY["a1"], targets)

    assert cells(table, "penstock")["MB/s"] == "419"
    assert cells(table, "httpx-raw")["rate / httpx"] == "4.00 ×"


def test_missed_bars_and_failures_are_part_of_the_section() -> None:
    results: Results = {"j64": {"httpx": {0: sample(1000)}, "penstock": {0: sample(1500)}}}

    text = section({"machine": "two cores"}, [BY_KEY["j64"]], results, ["j64, penstock, round 2: no answer"])

    assert "MISSED" in text and "Missed: 1." in text
    assert "- j64, penstock, round 2: no answer" in text
    assert "4 MiB" not in text
