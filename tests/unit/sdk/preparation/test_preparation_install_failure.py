from __future__ import annotations

import pytest

from penstock.preparation.install_failure import LINES_SHOWN, explain_failure, failing_lines
from penstock.preparation.requirement_line import RequirementLine, read_line

FILE = "/cache/environments/k/requirements.txt"


def lines(*texts: str) -> list[RequirementLine]:
    return [line for text in texts if (line := read_line(text, lambda path: f"/m/{path}")) is not None]


REQUIREMENTS = lines("six", "requests==2.31.0", "urllib3==1.20", "foo bar", "git+https://host/tool.git")

CASES = {
    "pip, no such version": (
        [
            "ERROR: Could not find a version that satisfies the requirement urllib3==1.20 (from versions: 1.21)",
            "ERROR: No matching distribution found for urllib3==1.20",
        ],
        ["urllib3==1.20"],
    ),
    "pip, bad syntax": (
        ["ERROR: Invalid requirement: 'foo bar': Expected end", f"    ^ (from line 4 of {FILE})"],
        ["foo bar"],
    ),
    "pip, conflict": (
        [
            "ERROR: Cannot install requests==2.31.0 and urllib3==1.20 because these package versions have conflicting "
            "dependencies.",
            "The conflict is caused by:",
        ],
        ["requests==2.31.0", "urllib3==1.20"],
    ),
    "pip, a dependency is missing": (
        ["Collecting six", "ERROR: No matching distribution found for deep-down (from requests)"],
        ["requests==2.31.0"],
    ),
    "uv, conflict": (
        [
            "error: No solution found when resolving dependencies",
            "  cause: Because requests==2.31.0 depends on urllib3>=1.21.1,<3 and you require urllib3==1.20, we can",
        ],
        ["requests==2.31.0", "urllib3==1.20"],
    ),
    "uv, bad syntax": (
        [f"error: Couldn't parse requirement in `{FILE}` at position 4", "       foo bar", "           ^"],
        ["foo bar"],
    ),
    "git": (
        ["error: subprocess-exited-with-error", "× git clone of https://host/tool.git did not run successfully."],
        ["git+https://host/tool.git"],
    ),
    "nothing named": (["ERROR: Exception:", "MemoryError"], []),
    "progress is no error": (["Collecting six", "ERROR: it broke"], []),
}


@pytest.mark.parametrize("case", CASES)
def test_the_line_that_failed_is_found(case: str) -> None:
    output, expected = CASES[case]

    assert [line.text for line in failing_lines(REQUIREMENTS, output, FILE)] == expected


def test_a_folder_that_cannot_be_built_is_found_though_an_older_pip_names_it_only_at_the_beginning() -> None:
    output = [
        "Processing ./other",
        "Processing ./pkg",
        "  Getting requirements to build wheel: finished with status 'error'",
        "  error: subprocess-exited-with-error",
        "  × Getting requirements to build wheel did not run successfully.",
        "  note: This error originates from a subprocess, and is likely not a problem with pip.",
    ]

    assert [line.text for line in failing_lines(lines("./other", "./pkg", "six"), output, FILE)] == ["./pkg"]


def test_where_all_lines_are_named_none_is_blamed() -> None:
    many = lines(*(f"pkg{number}" for number in range(9)))

    assert failing_lines(many, ["ERROR: cannot install " + " ".join(f"pkg{number}" for number in range(9))], FILE) == []


def explain(output: list[str]) -> str:
    return explain_failure(
        REQUIREMENTS, output, origin="config.yaml: requirements", file=FILE, how="ended with status 1", installer="pip"
    )


def test_the_message_has_the_line_and_the_last_words_from_the_first_error_on() -> None:
    text = explain(["Collecting six", "ERROR: No matching distribution found for six", "more about it"])

    assert text == (
        "config.yaml: requirements: `six`: cannot be installed; pip ended with status 1\n"
        "  ERROR: No matching distribution found for six\n"
        "  more about it"
    )


def test_a_flood_is_cut_and_passwords_are_taken_out() -> None:
    text = explain([*(f"error {number}" for number in range(1000)), "ERROR: https://me:secret@host/simple is gone"])

    assert len(text.splitlines()) == 1 + LINES_SHOWN
    assert "secret" not in text
    assert text.endswith("https://host/simple is gone")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("ERROR: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: NewConnectionError: Temporary failure in name resolution", "index cannot be reached"),
        ("ERROR: Ignored the following versions that require a different Python: Requires-Python >=3.12", "other"),
        ("ERROR: Cannot find command 'git' - do you have git?", "git is needed"),
        ("error: command 'gcc' failed: No such file or directory", "compiler"),
    ],
)
def test_what_to_do_is_said_where_it_is_known(line: str, hint: str) -> None:
    assert hint in explain([line]).splitlines()[-1]
