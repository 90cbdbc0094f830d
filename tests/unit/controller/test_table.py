from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.cli.table import display_width, fill, line, table


def test_columns_line_up_under_their_titles() -> None:
    shown = table(("STREAM", "AGE", "CLIENT"), [("a1", "5h12m", "-"), ("b", "9s", "10.0.0.1:5")], right={"AGE"})

    assert shown.splitlines() == [
        "STREAM    AGE  CLIENT",
        "a1      5h12m  -",
        "b          9s  10.0.0.1:5",
    ]


def test_without_a_header_the_columns_stay_as_wide() -> None:
    assert table(("REPLICA", "STATE"), [("r", "ready")], header=False) == "r        ready"


def test_characters_of_two_cells_count_twice_and_combining_ones_not_at_all() -> None:
    assert [display_width(text) for text in ("abc", "语音", "e\u0301", "ｆ", "\u200b")] == [3, 4, 1, 2, 0]
    assert table(("A", "B"), [("语音", "1"), ("abcd", "2")]).splitlines()[1:] == ["语音  1", "abcd  2"]


def test_a_cell_that_is_longer_than_its_column_stays_whole() -> None:
    assert line(("abcdef", "x"), (3, 1)) == "abcdef  x"


@given(st.text(), st.integers(0, 40), st.booleans())
def test_a_filled_cell_has_the_asked_width(text: str, width: int, right: bool) -> None:
    filled = fill(text, width, right=right)

    assert display_width(filled) == max(width, display_width(text))
    assert text in filled
