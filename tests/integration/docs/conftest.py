"""Reading the tables of the pages."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from penstock_testing.source_tree import text

ReadTable = Callable[[str, str], list[list[str]]]


@pytest.fixture(scope="session")
def read_table() -> ReadTable:
    """Takes a page and the header row of a table in it; returns the rows below, each as its cells."""

    def read(page: str, head: str) -> list[list[str]]:
        (_, below) = text(page).split(f"| {head} |\n", 1)
        rows = below.split("\n\n", 1)[0].splitlines()[1:]
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]

    return read
