"""A section reads one key per call; a bad value is noted with its place and read as the default."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.truss.document import parse_document
from penstock.truss.errors import Problem
from penstock.truss.section import Section


def section(content: str) -> tuple[Section, list[Problem], list[Problem]]:
    problems: list[Problem] = []
    warnings: list[Problem] = []
    return Section.top(parse_document(content.encode(), "config.yaml"), problems, warnings), problems, warnings


@pytest.mark.parametrize(
    ("value", "read", "default", "message"),
    [
        ("[]", lambda s: s.text("k", "d"), "d", "must be text, got a list"),
        ("3", lambda s: s.text("k", "d"), "d", "must be text, got number 3"),
        ("''", lambda s: s.text("k", "d"), "d", "must not be empty"),
        ("c", lambda s: s.choice("k", "a", ["a", "b"]), "a", "must be one of a, b, got text 'c'"),
        ("1", lambda s: s.boolean("k", True), True, "must be true or false, got number 1"),
        ("true", lambda s: s.integer("k", 5, low=1, high=9), 5, "must be a whole number from 1 to 9, got true"),
        ("10", lambda s: s.integer("k", 5, low=1, high=9), 5, "must be a whole number from 1 to 9, got number 10"),
        ("1.5", lambda s: s.integer("k", 5, low=1, high=9), 5, "must be a whole number from 1 to 9, got number 1.5"),
        (".nan", lambda s: s.seconds("k", 2.0, low=0, high=9), 2.0, "must be a number of seconds from 0 to 9"),
        (".inf", lambda s: s.seconds("k", 2.0, low=0, high=9), 2.0, "must be a number of seconds from 0 to 9"),
        ("20s", lambda s: s.seconds("k", 2.0, low=0, high=9), 2.0, "must be a number of seconds from 0 to 9"),
        ("a", lambda s: s.texts("k"), (), "must be a list of texts, got text 'a'"),
        ("[]", lambda s: s.optional_text("k"), None, "must be text, got a list"),
        ("[]", lambda s: s.required_text("k"), "", "must be text, got a list"),
        ("' '", lambda s: s.required_text("k"), "", "must not be empty"),
        ("b", lambda s: s.choice("k", "a", ["a"]), "a", "must be a, got text 'b'"),
        ("[a]", lambda s: s.choice("k", "a", ["a", "b"]), "a", "must be one of a, b, got a list"),
        ("x", lambda s: s.optional_integer("k", low=1, high=9), None, "must be a whole number from 1 to 9"),
        ("2", lambda s: s.integer("k", 1, low=1, high=1), 1, "must be 1, got number 2"),
        ("0", lambda s: s.required_integer("k", low=1, high=9), 1, "must be a whole number from 1 to 9"),
        (f"0x1{'0' * 5000}", lambda s: s.seconds("k", 2.0, low=0, high=9), 2.0, "got number 0x1000"),
        (f"0x1{'0' * 5000}", lambda s: s.integer("k", 2, low=0, high=9), 2, "got number 0x1000"),
        ("a", lambda s: s.mapping("k"), {}, "must be a mapping, got text 'a'"),
        ("a", lambda s: s.sections("k"), [], "must be a list of mappings, got text 'a'"),
        ("../x", lambda s: s.optional_path("k", "the box"), None, "must be a path inside the box, got text '../x'"),
        ("/x", lambda s: s.required_path("k", "the box"), "", "must be a path inside the box, got text '/x'"),
        ("[a]", lambda s: s.scalars("k"), {}, "must be a mapping of names to values, got a list"),
        ("{1: a}", lambda s: s.scalars("k"), {}, "names must be text, got number 1"),
        ("/etc", lambda s: s.path("k", "d"), "d", "must be a path inside the Truss directory, got text '/etc'"),
        ('"a\\0b"', lambda s: s.path("k", "d"), "d", "must be a path inside the Truss directory"),
        ("a/../../b", lambda s: s.path("k", "d"), "d", "must be a path inside the Truss directory"),
        ("a", lambda s: s.section("k").text("x", "d"), "d", "must be a mapping, got text 'a'"),
    ],
)
def test_bad_value_is_noted_and_read_as_the_default(
    value: str, read: Callable[[Section], object], default: object, message: str
) -> None:
    top, problems, _ = section(f"other: 1\nk: {value}\n")

    assert read(top) == default

    (problem,) = problems
    assert (problem.line, problem.column, problem.key) == (2, 4, "k")
    assert message in problem.message


@pytest.mark.parametrize("content", ["", "k:\n", "k: null\n"])
def test_absent_and_null_keys_have_their_default(content: str) -> None:
    top, problems, _ = section(content)

    assert top.text("k", "d") == "d"
    assert top.integer("k", 5, low=1, high=9) == 5
    assert top.seconds("k", 2.0, low=0, high=9) == 2.0
    assert top.boolean("k", True) is True
    assert top.texts("k") == ()
    assert top.scalars("k") == {}
    assert top.section("k").text("inner", "d") == "d"
    assert problems == []


def test_required_keys_are_missed() -> None:
    top, problems, _ = section("other: 1\n")

    assert (top.required_text("a"), top.required_path("b", "x"), top.required_integer("c", low=3, high=4)) == (
        "",
        "",
        3,
    )

    assert [str(problem) for problem in problems] == [
        "config.yaml:1:1: a: is missing",
        "config.yaml:1:1: b: is missing",
        "config.yaml:1:1: c: is missing; it must be a whole number from 3 to 4",
    ]


def test_null_and_empty_text_are_no_text() -> None:
    top, problems, _ = section("a: null\nb: ''\nc: ' '\nd: x\n")

    assert [top.optional_text(key) for key in "abcd"] == [None, None, None, "x"]
    assert [top.optional_path(key, "y") for key in "abcd"] == [None, None, None, "x"]
    assert problems == []


def test_items_of_lists_are_refused_at_their_place() -> None:
    top, problems, _ = section("k: [a, 1,\n  '']\ns: [{x: 1}, 2]\n")

    assert top.texts("k") == ("a",)
    assert [inner.peek("x") for inner in top.sections("s")] == [1]

    assert [str(problem) for problem in problems] == [
        "config.yaml:1:8: k[1]: must be text, got number 1",
        "config.yaml:2:3: k[2]: must be text, got text ''",
        "config.yaml:3:13: s[1]: must be a mapping, got number 2",
    ]


def test_problems_inside_items_name_item_and_place() -> None:
    top, problems, _ = section("s:\n- x: 1\n- x: []\n")

    for inner in top.sections("s"):
        inner.text("x", "")

    assert [str(problem) for problem in problems] == [
        "config.yaml:2:6: s[0].x: must be text, got number 1",
        "config.yaml:3:6: s[1].x: must be text, got a list",
    ]


def test_names_inside_a_mapping_of_the_user_are_not_unknown() -> None:
    top, _, warnings = section("k: {a: 1}\n")

    assert top.mapping("k") == {"a": 1}
    top.inside("k").warn("a", "is odd")
    top.warn_unknown()

    assert [str(warning) for warning in warnings] == ["config.yaml:1:8: k.a: is odd"]


def test_keys_that_were_asked_for_are_collected_with_their_paths() -> None:
    known: set[str] = set()
    top = Section.top(parse_document(b"s: [{}]\n", "config.yaml"), [], [], known)

    top.section("a").text("b", "")
    top.sections("s")[0].text("c", "")

    assert known == {"a", "a.b", "s", "s[0].c"}


def test_numbers_that_python_cannot_write_are_refused_as_text() -> None:
    top, problems, _ = section(f"k: {{a: 0x1{'0' * 5000}}}\n")

    assert top.scalars("k") == {}
    assert "k.a: must be text or a number of moderate length, got number 0x1000" in str(problems[0])


def test_scalars_become_text() -> None:
    top, problems, _ = section("k: {a: true, b: 1, c: null, d: x, e: 1.5, f: [1]}\n")

    assert top.scalars("k") == {"a": "true", "b": "1", "c": None, "d": "x", "e": "1.5"}
    assert [str(problem) for problem in problems] == [
        "config.yaml:1:46: k.f: must be text, a number, true or false, got a list"
    ]


def test_problem_at_an_absent_key_points_to_its_section() -> None:
    top, problems, _ = section("a: 1\nk:\n  b: 2\n")

    top.section("k").refuse("c", "is missing")

    assert str(problems[0]) == "config.yaml:3:3: k.c: is missing"


def test_unknown_keys_are_warned_of_with_the_nearest_known_one() -> None:
    top, problems, warnings = section("queue_timeot: 1\nzzz: 2\n")
    top.seconds("queue_timeout", 0, low=0, high=9)

    top.warn_unknown()

    assert problems == []
    assert [warning.message for warning in warnings] == [
        "is not known and has no effect; did you mean `queue_timeout`?",
        "is not known and has no effect; known keys: queue_timeout",
    ]


def test_a_flood_of_unknown_keys_is_counted() -> None:
    top, _, warnings = section("".join(f"key{number}: 1\n" for number in range(60)))

    top.warn_unknown()

    assert len(warnings) == 51
    assert str(warnings[-1]) == "config.yaml:51:8: key50: is not known and has no effect, nor have 9 more keys"


def test_merged_keys_are_found_with_their_place() -> None:
    top, problems, _ = section("base: &b {k: 1}\nsection:\n  <<: *b\n")

    top.section("section").text("k", "d")

    assert str(problems[0]) == "config.yaml:1:14: section.k: must be text, got number 1"
