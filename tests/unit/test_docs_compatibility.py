"""docs/truss_compatibility.md names tests, files and models that exist, and leaves none of the suite out."""

from __future__ import annotations

import re
from functools import cache
from pathlib import PurePosixPath

from penstock_testing.source_tree import ROOT, python_files, text

PAGE = "docs/truss_compatibility.md"
SUITE = "tests/conformance/truss/"
MODELS = ROOT / "tests" / "conformance" / "models"
ABSENT = "**not there yet**"


@cache
def rows() -> tuple[tuple[str, str, str, str], ...]:
    """Every row on a contract: the contract, where it holds, its tests, and the difference."""
    found = []
    for line in text(PAGE).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 4 and not cells[0].startswith(("contract", "---")):
            found.append((cells[0], cells[1], cells[2], cells[3].rstrip("|").strip()))
    return tuple(found)


@cache
def known_tests() -> dict[str, frozenset[str]]:
    """The functions of every test module, by the module's file name."""
    return {
        PurePosixPath(name).name: frozenset(re.findall(r"^\s*(?:async )?def (test_\w+)", text(name), re.MULTILINE))
        for name in python_files("tests/")
        if PurePosixPath(name).name.startswith("test_")
    }


def named() -> list[tuple[str, str]]:
    """File and function of every test that the page names."""
    return [
        (file, function)
        for _, _, cell, _ in rows()
        for file, function in re.findall(r"`(test_\w+\.py)::(test_\w+)`", cell)
    ]


def test_the_page_has_rows_for_every_part_of_the_contract() -> None:
    headings = re.findall(r"^##+ (.+)$", text(PAGE), flags=re.MULTILINE)

    assert {"WebSocket models", "The model class", "config.yaml", "Endpoints"} <= set(headings)
    assert len(rows()) > 80


def test_every_named_test_exists() -> None:
    missing = [
        f"{file}::{function}" for file, function in named() if function not in known_tests().get(file, frozenset())
    ]

    assert missing == []


def test_every_test_of_the_suite_stands_in_the_page() -> None:
    suite = {PurePosixPath(name).name for name in python_files(SUITE)}
    mentioned = set(named())

    left_out = [
        f"{file}::{function}"
        for file in sorted(suite & set(known_tests()))
        for function in sorted(known_tests()[file])
        if (file, function) not in mentioned
    ]

    assert left_out == []


def test_a_row_has_a_test_or_says_that_it_is_not_there_yet() -> None:
    for contract, _, cell, difference in rows():
        assert bool(cell) != difference.startswith(ABSENT), contract


def test_every_named_file_exists() -> None:
    places = {place for _, cell, _, _ in rows() for place in re.findall(r"`([\w./]+)`", cell)}

    assert [place for place in sorted(places) if not (ROOT / place).exists()] == []


def test_every_model_of_the_suite_is_described() -> None:
    folders = {config.parent.name for config in MODELS.glob("*/config.yaml")}
    described = set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", text(PAGE), flags=re.MULTILINE))

    assert len(folders) >= 15
    assert described == folders
