from __future__ import annotations

from penstock_bench import report
from penstock_bench.bars import BARS
from penstock_bench.samples import Sample
from penstock_bench.scenarios import SCENARIOS

BY_KEY = {scenario.key: scenario for scenario in SCENARIOS}


def test_columns_line_up() -> None:
    lines = report.table(("name", "n"), [("a", "1,000"), ("longer", "2")]).splitlines()

    assert lines == [
        "| name   |     n |",
        "| ------ | ----: |",
        "| a      | 1,000 |",
        "| longer |     2 |",
    ]


def test_numbers_keep_about_three_figures() -> None:
    shown = [report.number(value) for value in (123456.7, 12.34, 1.234, 0.0123, None)]

    assert shown == ["123,457", "12.3", "1.23", "0.012", "–"]


def test_a_scenario_shows_ratios_against_what_ran() -> None:
    targets = {
        "direct": {0: Sample(per_s=100, cpu_us={"server": 20.0})},
        "penstock": {0: Sample(per_s=150, cpu_us={"edge": 4.0, "runner": 6.0})},
    }

    text = report.scenario_table(BY_KEY["s1"], targets)

    assert "rate / direct" in text and "nginx" not in text
    assert "1.50 ×" in text and "0.50 ×" in text
    assert "edge 4.00, runner 6.00" in text


def test_a_paced_scenario_compares_latency() -> None:
    targets = {"direct": {0: Sample(per_s=1280, p99_ms=1.0)}, "penstock": {0: Sample(per_s=1280, p99_ms=3.0)}}

    text = report.scenario_table(BY_KEY["r20"], targets)

    assert "p99 / direct" in text and "3.00 ×" in text


def test_memory_is_shown_by_process() -> None:
    targets = {"penstock": {0: Sample(kib_per_stream={"edge": 7.0, "runner": 3.0, "control": 1.0})}}

    text = report.scenario_table(BY_KEY["idle"], targets)

    assert "edge 7.00, runner 3.00, control 1.00" in text
    assert " 10.0 |" in text


def test_the_spread_is_shown_when_there_were_several_rounds() -> None:
    targets = {"direct": {0: Sample(per_s=100), 1: Sample(per_s=300)}}

    assert "100–300" in report.scenario_table(BY_KEY["s1"], targets)


def test_bars_against_targets_that_did_not_run_are_left_out() -> None:
    results = {"s1": {"penstock": {0: Sample(per_s=50)}, "direct": {0: Sample(per_s=100)}}}

    text = report.bars_table(results)

    assert "MISSED" in text and "Ray" not in text
    assert [bar.scenario for bar in report.missed(results)] == ["s1"]


def test_an_unmeasured_bar_is_not_called_missed() -> None:
    assert report.missed({}) == []
    assert report.bars_table({}).count("not measured") == sum(bar.against is None for bar in BARS)


def test_notes_by_hand_survive_the_next_run() -> None:
    first = report.keep_notes("tables 1\n", "")
    edited = first + "\nThe edge spends half its time in the kernel.\n"

    second = report.keep_notes("tables 2\n", edited)

    assert "tables 2" in second and "tables 1" not in second
    assert "half its time in the kernel" in second
    assert report.keep_notes("tables 3\n", second).count("## Notes") == 1


def test_the_document_names_what_was_left_out() -> None:
    text = report.document(
        {"date": "today"},
        {"direct": "FastAPI"},
        {"ray": "not installed"},
        [BY_KEY["s1"]],
        {"s1": {"direct": {0: Sample(per_s=1, generator_us=2.5)}}},
        ["s1, direct, round 2: 3 errors"],
    )

    assert "ray: not run: not installed" in text
    assert "round 2: 3 errors" in text
    assert "2.50–2.50 µs" in text
    assert "budget" not in text, "without Penstock there is nothing to judge"
