"""What the pages show must be true: their code parses, their settings are accepted, their defaults are the defaults."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

import pytest

from penstock.truss import PenstockSettings, parse_config
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


def test_the_page_of_settings_shows_every_setting_with_its_default() -> None:
    (block,) = (block for page, block in blocks("yaml") if page == "docs/model_settings.md")
    shown = re.findall(r"^ +(\w+): [^\n#]+#|^  (\w+): .*#", block, flags=re.MULTILINE)

    assert parse_config(block.encode(), name_default="documented").penstock == PenstockSettings()
    assert len(shown) == len(fields(PenstockSettings))
