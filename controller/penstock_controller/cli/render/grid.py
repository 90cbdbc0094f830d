"""Tables whose cells have colours, that can be sorted, and that fit a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.table import GAP, display_width

LEAST_CELLS = 4
"""To which a column that may be cut is cut in the end, when leaving out others was not enough."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, and what becomes of it when the terminal is too narrow."""

    title: str
    leaves: int = 0
    """Columns with higher numbers are left out first; 0 stays."""
    least: int | None = None
    """Cells to which it is cut before another column is left out; None when it must stay whole."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is more than text."""

    text: str
    tone: Tone | None = None
    key: float | None = None
    """What it is sorted by, instead of its text."""


Row = Sequence[Cell | str]


class Grid(NamedTuple):
    """A table as text."""

    text: str
    """Lines without a newline at the end."""
    left_out: tuple[str, ...] = ()
    """Titles of the columns for which the terminal has no room."""


def grid(columns: Sequence[Column], rows: Iterable[Row], style: Style) -> Grid:
    """Lays out a table."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    cells = _sorted(columns, cells, style.sort_by)
    natural = [
        max(display_width(c.title), *(display_width(row[i].text) for row in cells), 0) for i, c in enumerate(columns)
    ]
    widths = _fitted(columns, natural, None if style.wide else style.width)
    lines = []
    if style.headers:
        lines.append(_line([Cell(column.title) for column in columns], widths, style))
    lines += [_line(row, widths, style) for row in cells]
    left_out = tuple(column.title for column, width in zip(columns, widths, strict=True) if width is None)
    return Grid("\n".join(lines), left_out)


def left_out_note(grids: Iterable[Grid], style: Style) -> list[str]:
    """Returns what to say below tables: at most one line, none when nothing is left out."""
    titles = list(dict.fromkeys(title for each in grids for title in each.left_out))
    if not titles:
        return []
    note = f"(-o wide also shows {', '.join(titles)})"
    return [style.paint(style.cut(note, style.width or len(note)), Tone.FAINT)]


def _sorted(columns: Sequence[Column], rows: list[list[Cell]], sort_by: str) -> list[list[Cell]]:
    place = next((i for i, column in enumerate(columns) if column.title == sort_by.removeprefix("-")), None)
    if place is None:
        return rows

    def key(row: list[Cell]) -> tuple[float, str]:
        cell = row[place]
        return cell.key if cell.key is not None else -math.inf, cell.text

    return sorted(rows, key=key, reverse=sort_by.startswith("-"))


def _fitted(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> list[int | None]:
    """Returns the width of every column, None for those that are left out."""
    shown = list(range(len(columns)))
    least = [
        min(whole, max(column.least, display_width(column.title))) if column.least is not None else whole
        for column, whole in zip(columns, natural, strict=True)
    ]
    if width is None:
        return list(natural)

    def total(widths: Sequence[int]) -> int:
        return sum(widths[i] for i in shown) + len(GAP) * (len(shown) - 1)

    while total(least) > width and any(columns[i].leaves for i in shown):
        shown.remove(max(shown, key=lambda i: columns[i].leaves))
    for i in sorted(shown, key=lambda i: -least[i]):
        if columns[i].least is not None:
            least[i] = max(min(least[i], LEAST_CELLS), least[i] - max(0, total(least) - width))
    fitted: list[int | None] = [least[i] if i in shown else None for i in range(len(columns))]
    room = width - total(least)
    for i in shown:
        more = max(0, min(room, natural[i] - least[i]))
        fitted[i] = least[i] + more
        room -= more
    return fitted


def _line(cells: Sequence[Cell], widths: Sequence[int | None], style: Style) -> str:
    shown = [(cell, width) for cell, width in zip(cells, widths, strict=True) if width is not None]
    parts = []
    for place, (cell, width) in enumerate(shown):
        text = style.cut(cell.text, width)
        is_last = place == len(shown) - 1
        parts.append(style.paint(text, cell.tone) + ("" if is_last else " " * (width - display_width(text))))
    return GAP.join(parts).rstrip()
