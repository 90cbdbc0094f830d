"""A picture on a terminal that is drawn again and again in the same place."""

from __future__ import annotations

import re
from typing import TextIO

from penstock_controller.cli.presentation import terminal_size, write
from penstock_controller.cli.table import display_width

_CLEAR = "\x1b[2J"
_HOME = "\x1b[H"
_CLEAR_LINE_END = "\x1b[K"
_CLEAR_BELOW = "\x1b[J"

_COLOR = re.compile("(\x1b\\[[0-9;]*m)")


class Screen:
    """Draws over what was there instead of clearing first, so nothing flickers. Leaves no state of the terminal behind:
    it may be killed at any moment."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_clear = False

    def draw(self, text: str) -> None:
        """Shows the lines of `text`, as many as there is room for, and as much of each as there is room for."""
        columns, rows = terminal_size(self._out)
        lines = [_cut(line, columns) for line in text.rstrip("\n").split("\n")]
        room = max(1, rows - 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], f"({len(lines) - room + 1} more lines)"]
        body = "".join(f"{line}{_CLEAR_LINE_END}\n" for line in lines)
        write(("" if self._is_clear else _CLEAR) + _HOME + body + _CLEAR_BELOW, self._out)
        self._is_clear = True


def _cut(line: str, width: int) -> str:
    """Ends a line at the edge of the terminal: one that wraps would take the room of others. Colours take none."""
    kept = ""
    for part in _COLOR.split(line):
        if _COLOR.fullmatch(part):
            kept += part
            continue
        for character in part:
            width -= display_width(character)
            kept += character if width >= 0 else ""
    return kept
