"""What the pages show must be true: their code parses, and their settings are accepted.

That the table of settings has all of them, with their defaults and ranges, is tested in tests/integration/docs.
"""

from __future__ import annotations

import ast
import re

import pytest

from penstock.truss import parse_config
from penstock_testing.source_tree import files, text

PAGES = [name for name in files() if name.endswith(".md")]


def blocks(language: str) -> list[tuple[str, str]]:
    """Returns the page and the content of every block of `language`."""
    pattern = re.compile(rf"^```{language}\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
    return [(page, block) for page in PAGES for block in pattern.findall(text(page))]


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_python_in_a_page_parses(page: str, code: str) -> None:
    ast.parse(code, filename=page)


@pytest.mark.parametrize(("page", "config"), [found for found in blocks("yaml") if "penstock:" in found[1]])
def test_settings_in_a_page_are_accepted(page: str, config: str) -> None:
    assert parse_config(config.encode(), name_default="documented").warnings == (), page
