from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.table import display_width


def test_colours_are_only_used_when_they_are_wanted() -> None:
    assert Style().paint("ready", Tone.GOOD) == "ready"
    assert Style(color=True).paint("ready", Tone.GOOD) == "\x1b[32mready\x1b[0m"
    assert Style(color=True).paint("ready", None) == "ready"
    assert Style(color=True).paint("", Tone.BAD) == ""


@pytest.mark.parametrize(("before", "after", "text"), [(2, 3, "↑2→3"), (3, 1, "↓3→1"), (2, 2, "2→2")])
def test_change_has_an_arrow_for_its_direction(before: int, after: int, text: str) -> None:
    assert Style(unicode=True).change(before, after) == text
    assert Style().change(before, after) == f"{before}->{after}"


def test_cut_text_ends_with_an_ellipsis() -> None:
    assert Style(unicode=True).cut("abcdef", 4) == "abc…"
    assert Style().cut("abcdef", 5) == "ab..."
    assert Style().cut("abc", 3) == "abc"


@given(text=st.text(max_size=40), width=st.integers(0, 20), unicode=st.booleans())
def test_cut_text_never_takes_more_room_than_it_has(text: str, width: int, unicode: bool) -> None:
    style = Style(unicode=unicode)

    assert display_width(style.cut(text, width)) <= width
    if display_width(text) <= width:
        assert style.cut(text, width) == text
