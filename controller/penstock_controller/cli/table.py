"""Plain tables whose columns line up on a terminal, also with characters that take two cells or none. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence

GAP = "  "


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, header: bool = True, right: Collection[str] = ()
) -> str:
    """Returns lines without a newline at the end.

    Args:
        titles: One per column.
        rows: Each with a cell per title.
        header: Whether the titles are shown. The columns are as wide as if they were.
        right: Titles of the columns that are aligned to the right.
    """
    widths = [max(display_width(row[i]) for row in (titles, *rows)) for i in range(len(titles))]
    aligned = [title in right for title in titles]
    shown = [titles, *rows] if header else rows
    return "\n".join(line(row, widths, aligned) for row in shown)


def line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool] = ()) -> str:
    """Returns one row with its cells filled up to `widths`; a cell that is longer stays whole."""
    aligned = right or [False] * len(cells)
    filled = [fill(cell, width, right=side) for cell, width, side in zip(cells, widths, aligned, strict=True)]
    return GAP.join(filled).rstrip()


def fill(text: str, width: int, *, right: bool = False) -> str:
    """Adds blanks up to `width` cells of a terminal."""
    blanks = " " * (width - display_width(text))
    return blanks + text if right else text + blanks


def display_width(text: str) -> int:
    """Returns the cells that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
