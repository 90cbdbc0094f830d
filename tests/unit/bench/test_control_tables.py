from __future__ import annotations

from dataclasses import replace

from penstock_bench import report
from penstock_bench.control import tables
from penstock_bench.control.costs import Costs
from penstock_bench.control.fleet import FLEETS
from penstock_bench.control.trial import Trial

BY_KEY = {fleet.key: fleet for fleet in FLEETS}

TRIAL = Trial(
    attach_s=1.5,
    cpu_percent=10.0,
    resident_mib=60.0,
    threads=9,
    statuses_per_s=100.0,
    snapshots_per_s=19.0,
    snapshot_bytes=7168.0,
    sent_mib_per_s=0.7,
    delay_p50_ms=29.0,
    delay_p99_ms=53.0,
    delays=800,
    delays_lost=0,
    runners_cpu_percent=7.0,
    edges_cpu_percent=3.0,
    generator_lag_p99_ms=2.0,
    others_cpu_percent=0.5,
)
COSTS = Costs(
    replicas=1000, decide_ms=0.14, look_ms=1.3, round_ms=2.0, snapshot_ms=6.0, snapshot_bytes=1, report_us=4.8
)


def test_growth_is_shown_between_fleets_of_ten_times_the_size_and_the_same_load() -> None:
    trials = {
        BY_KEY["100"]: TRIAL,
        BY_KEY["1000"]: replace(TRIAL, cpu_percent=40.0),
        BY_KEY["1000-idle"]: replace(TRIAL, cpu_percent=20.0, delay_p99_ms=None),
    }

    text = tables.section({"date": "today"}, trials, [])

    assert text.count("100 → 1,000 churn") == 1
    assert "100 → 1,000 idle" not in text, "the smaller one was not measured"
    assert "4.00 ×" in text


def test_a_single_fleet_has_nothing_to_compare_with() -> None:
    assert "Growth" not in tables.section({}, {BY_KEY["100"]: TRIAL}, [])


def test_what_could_not_be_measured_is_said() -> None:
    text = tables.section({}, {BY_KEY["100-idle"]: replace(TRIAL, delay_p50_ms=None, delay_p99_ms=None)}, [], ["gone"])

    assert "- gone" in text
    assert " – |" in text


def test_steps_are_shown_for_every_size() -> None:
    text = tables.section({}, {}, [COSTS, replace(COSTS, replicas=10_000, decide_ms=1.4)])

    assert "1,000 replicas" in text and "10,000 replicas" in text
    assert "0.14" in text and "1.40" in text


def test_the_section_is_replaced_where_it_was() -> None:
    document = report.keep_notes("tables\n", f"\n{report.NOTES_MARK}\n\n## Notes\n\nby hand\n")

    first = tables.SECTION.put(document, "one")
    second = tables.SECTION.put(first, "two")

    assert tables.SECTION.take(first) == "one" and tables.SECTION.take(second) == "two"
    assert second == first.replace("one", "two")
    assert second.index("tables") < second.index("two") < second.index(report.NOTES_MARK) < second.index("by hand")


def test_the_section_survives_a_run_of_the_other_benchmark() -> None:
    before = tables.SECTION.put(report.keep_notes("tables 1\n", ""), "the section")

    after = tables.SECTION.put(report.keep_notes("tables 2\n", before), tables.SECTION.take(before))

    assert "tables 2" in after and "tables 1" not in after
    assert after.count("the section") == 1 and after.count(tables.SECTION.begin) == 1
    assert after.count(report.NOTES_MARK) == 1


def test_a_document_without_notes_gets_the_section_at_its_end() -> None:
    assert tables.SECTION.put("tables\n", "the section").endswith(f"the section\n\n{tables.SECTION.end}\n")
    assert tables.SECTION.take("tables\n") == ""
