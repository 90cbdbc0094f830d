from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.weights.patterns import Patterns

NAMES = st.text("ab/.*[]?", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("allow", "ignore", "name", "wanted"),
    [
        ((), (), "a.bin", True),
        (("*.safetensors",), (), "a.safetensors", True),
        (("*.safetensors",), (), "sub/a.safetensors", True),
        (("*.safetensors",), (), "a.bin", False),
        (("*.SAFETENSORS",), (), "a.safetensors", False),
        ((), ("*.md",), "README.md", False),
        (("*",), ("original/",), "original/params.json", False),
        (("original/",), (), "original/deep/params.json", True),
        (("original/",), (), "config.json", False),
        (("*.json",), ("config.json",), "config.json", False),
    ],
)
def test_patterns_choose_files(allow: tuple[str, ...], ignore: tuple[str, ...], name: str, wanted: bool) -> None:
    assert Patterns(allow, ignore).wants(name) is wanted


@given(NAMES, st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3))
def test_what_is_ignored_is_never_wanted_and_what_is_allowed_is(name: str, allow: list[str], ignore: list[str]) -> None:
    wanted = Patterns(tuple(allow), tuple(ignore)).wants(name)

    if any(fnmatchcase(name, pattern) for pattern in ignore):
        assert not wanted
    elif not ignore and (not allow or (name in allow and not set(name) & set("*?["))):
        assert wanted


def test_patterns_show_what_they_are() -> None:
    patterns = Patterns(("*.bin",), ())

    assert patterns.select
    assert not Patterns().select
    assert str(Patterns()) == "no patterns"
    assert str(patterns) == "allow_patterns ['*.bin'], ignore_patterns []"
