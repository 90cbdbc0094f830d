"""Reports of what is wrong with chainlet classes."""

from __future__ import annotations

from penstock.chains.problems import Place, Problem, ProblemKind, Problems, report


def test_a_place_says_what_is_known() -> None:
    place = Place("chain.py", 3, "A")

    assert str(Place("chain.py")) == "chain.py"
    assert str(Place("chain.py", 3)) == "chain.py:3"
    assert str(place) == "chain.py:3 (A)"
    assert str(place.in_method("run_remote")) == "chain.py:3 (A.run_remote)"
    assert str(place.in_method("run_remote", path="base.py", line=9)) == "base.py:9 (A.run_remote)"


def test_a_report_has_all_problems_and_each_hint_once() -> None:
    problems = Problems()
    problems.add("one.", ProblemKind.TYPE_ERROR, Place("a.py", 1), hint="Do this.")
    problems.add("two.", ProblemKind.IO_TYPE_ERROR, Place("a.py", 2), hint="Do this.")

    assert report((*problems.found, Problem("three.", ProblemKind.MISSING_API_ERROR, Place("b.py")))) == (
        "The user defined code does not comply with the required spec, please fix below:\n"
        "a.py:1 [kind: TYPE_ERROR]: one.\n"
        "a.py:2 [kind: IO_TYPE_ERROR]: two.\n"
        "b.py [kind: MISSING_API_ERROR]: three.\n"
        "Do this."
    )
