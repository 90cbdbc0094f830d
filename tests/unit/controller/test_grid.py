from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.cli.render.grid import Cell, Column, grid, left_out_note
from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.table import display_width

COLUMNS = (Column("NAME", least=6), Column("COUNT"), Column("NOTE", leaves=1), Column("PORT", leaves=2))
ROWS = [
    ("a-long-name", Cell("10", key=10), "noted", "8000"),
    ("b", Cell("9", key=9), "-", "80"),
    ("c", Cell("-"), "-", "1"),
]


def test_columns_line_up() -> None:
    assert grid(COLUMNS, ROWS, Style()).text.split("\n") == [
        "NAME         COUNT  NOTE   PORT",
        "a-long-name  10     noted  8000",
        "b            9      -      80",
        "c            -      -      1",
    ]


def test_colours_take_no_room() -> None:
    rows: list[tuple[Cell | str, str]] = [(Cell("ok", Tone.GOOD), "x"), ("fine", "y")]

    text = grid((Column("A"), Column("B")), rows, Style(color=True)).text

    assert text.split("\n") == ["A     B", "\x1b[32mok\x1b[0m    x", "fine  y"]


def test_narrow_terminal_costs_the_least_important_column_first() -> None:
    shown = grid(COLUMNS, ROWS, Style(width=25))

    assert shown.left_out == ("PORT",)
    assert shown.text.split("\n")[:2] == ["NAME         COUNT  NOTE", "a-long-name  10     noted"]


def test_text_is_cut_before_a_column_goes() -> None:
    shown = grid(COLUMNS, ROWS, Style(width=27, unicode=True))

    assert shown.left_out == ()
    assert shown.text.split("\n")[1] == "a-long…  10     noted  8000"


def test_wide_cuts_nothing() -> None:
    assert grid(COLUMNS, ROWS, Style(width=10, wide=True)) == grid(COLUMNS, ROWS, Style())


def test_rows_are_sorted_by_numbers_with_unknown_ones_as_the_least() -> None:
    def names(sort_by: str) -> list[str]:
        return [line[0] for line in grid(COLUMNS, ROWS, Style(headers=False, sort_by=sort_by)).text.split("\n")]

    assert names("COUNT") == ["c", "b", "a"]
    assert names("-COUNT") == ["a", "b", "c"]
    assert names("-NAME") == ["c", "b", "a"]
    assert names("ELSEWHERE") == ["a", "b", "c"]


def test_empty_table_has_its_titles() -> None:
    assert grid(COLUMNS, [], Style()).text == "NAME  COUNT  NOTE  PORT"
    assert grid(COLUMNS, [], Style(headers=False)).text == ""


def test_note_names_each_column_once() -> None:
    narrow = grid(COLUMNS, ROWS, Style(width=25))

    assert left_out_note([narrow, narrow], Style(width=80)) == ["(-o wide also shows PORT)"]
    assert left_out_note([grid(COLUMNS, ROWS, Style())], Style()) == []


@given(
    cells=st.lists(st.tuples(*[st.text(max_size=30).filter(lambda t: "\n" not in t)] * 4), max_size=5),
    width=st.integers(10, 80),
)
def test_table_that_may_be_cut_always_fits(cells: list[tuple[str, str, str, str]], width: int) -> None:
    columns = (Column("A", least=8), Column("B", least=4), Column("C", least=5, leaves=1), Column("D", leaves=2))

    shown = grid(columns, cells, Style(width=width))

    assert max(map(display_width, shown.text.split("\n"))) <= width
