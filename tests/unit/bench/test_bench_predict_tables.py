from __future__ import annotations

from penstock_bench.predict.rows import ROWS
from penstock_bench.predict.tables import row_table, section
from penstock_bench.samples import Results, Sample

BY_KEY = {row.key: row for row in ROWS}


def sample(per_s: float, first_p50_ms: float = 1.0, cpu_us: float = 100.0) -> Sample:
    return Sample(
        per_s=per_s,
        p50_ms=8.0,
        p99_ms=16.0,
        first_p50_ms=first_p50_ms,
        first_p99_ms=3 * first_p50_ms,
        cpu_us={"edge": cpu_us},
        generator_us=28.0,
    )


def cells(table: str, server: str) -> dict[str, str]:
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    return dict(zip(lines[0], next(line for line in lines[2:] if line[0] == server), strict=True))


def test_rates_are_compared_within_a_round() -> None:
    targets = {
        "direct": {0: sample(1000), 1: sample(4000)},
        "penstock": {0: sample(600, cpu_us=250), 1: sample(2400, cpu_us=250)},
    }

    line = cells(row_table(BY_KEY["p64"], targets), "penstock")

    assert line["requests/s"] == "1,500"
    assert line["min–max"] == "600–2,400"
    assert line["rate / direct"] == "0.60 ×"
    assert line["CPU / direct"] == "2.50 ×"


def test_a_stream_shows_what_is_added_to_its_first_part() -> None:
    targets = {"direct": {0: sample(640, 1.0)}, "penstock": {0: sample(640, 1.75)}}

    line = cells(row_table(BY_KEY["f64"], targets), "penstock")

    assert line["first part p50 ms"] == "1.75"
    assert line["p50 added"] == "0.75" and line["p99 added"] == "2.25"
    assert line["all parts p50 ms"] == "8.00"


def test_a_server_without_the_baseline_is_shown_alone() -> None:
    line = cells(row_table(BY_KEY["f64"], {"penstock": {0: sample(640)}}), "penstock")

    assert line["requests/s"] == "640"
    assert line["CPU / direct"] == line["p50 added"] == "–"


def test_bars_and_failures_are_part_of_the_section() -> None:
    results: Results = {"p64": {"direct": {0: sample(1000)}, "penstock": {0: sample(450)}}}

    text = section({"date": "today"}, {"direct": "beside"}, [BY_KEY["p64"]], results, ["gone"])

    assert "MISSED" in text and "Missed: 1." in text
    assert "first part of a stream" not in text, "that row was not asked for"
    assert "- gone" in text
    assert "28.0–28.0 µs of CPU per request" in text


def test_nothing_measured_is_a_section_all_the_same() -> None:
    text = section({}, {}, ROWS, {}, ["no C compiler"])

    assert "- no C compiler" in text and "MISSED" not in text
