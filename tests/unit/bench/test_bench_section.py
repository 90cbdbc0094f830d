from __future__ import annotations

from penstock_bench.control import tables as control_tables
from penstock_bench.predict import tables as predict_tables
from penstock_bench.report import NOTES_MARK, keep_notes
from penstock_bench.section import Section

ONE, TWO = Section("<!-- one -->", "<!-- end of one -->"), Section("<!-- two -->", "<!-- end of two -->")


def test_sections_stand_side_by_side_before_the_notes() -> None:
    document = keep_notes("tables\n", f"\n{NOTES_MARK}\n\n## Notes\n\nby hand\n")

    document = TWO.put(ONE.put(document, "first"), "second")

    order = [document.index(text) for text in ("tables", "first", "second", NOTES_MARK, "by hand")]
    assert order == sorted(order)
    assert ONE.take(document) == "first" and TWO.take(document) == "second"


def test_replacing_one_leaves_the_other() -> None:
    document = TWO.put(ONE.put("tables\n", "first"), "second")

    assert ONE.put(document, "newer") == document.replace("first", "newer")


def test_nothing_to_put_changes_nothing() -> None:
    document = ONE.put("tables\n", "first")

    assert ONE.put(document, "") == document
    assert TWO.put(document, "") == document


def test_the_sections_of_the_benchmarks_are_told_apart() -> None:
    marks = {mark for tables in (control_tables, predict_tables) for mark in (tables.SECTION.begin, tables.SECTION.end)}

    assert len(marks) == 4
