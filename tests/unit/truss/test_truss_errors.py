"""Problems read as editors and people expect: file:line:column: key: message."""

from __future__ import annotations

from penstock.truss import ConfigError, Problem


def test_problem_names_place_key_and_message() -> None:
    problem = Problem("config.yaml", 12, 5, "runtime.transport.kind", "must be one of a, b")

    assert str(problem) == "config.yaml:12:5: runtime.transport.kind: must be one of a, b"


def test_problem_of_the_whole_file_has_no_line() -> None:
    assert str(Problem("config.yaml", None, None, "", "not found")) == "config.yaml: not found"


def test_error_lists_every_problem_on_a_line_of_its_own() -> None:
    first = Problem("config.yaml", 1, 1, "a", "bad")
    second = Problem("config.yaml", 2, 1, "b", "bad, too")

    error = ConfigError([first, second])

    assert error.problems == [first, second]
    assert str(error) == "config.yaml:1:1: a: bad\nconfig.yaml:2:1: b: bad, too"
