"""How text is shown: colours, characters, width."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from penstock_controller.cli.table import display_width


class Tone(Enum):
    """How good or bad a state is; the value is its colour (SGR parameters of ECMA-48)."""

    GOOD = "32"
    WARNING = "33"
    BAD = "1;31"
    FAINT = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What the reader's terminal can show, and what he asked for."""

    color: bool = False
    unicode: bool = False
    """Arrows and ellipses may be used; otherwise only ASCII is."""
    wide: bool = False
    """Every column, whole ids, nothing cut."""
    headers: bool = True
    width: int | None = None
    """Cells of the terminal; None when the output goes elsewhere, and nothing is cut to fit."""
    sort_by: str = ""
    """Title of the column by which tables that have it are sorted; a leading "-" turns the order around."""

    def paint(self, text: str, tone: Tone | None) -> str:
        return f"\x1b[{tone.value}m{text}\x1b[0m" if self.color and tone is not None and text else text

    @property
    def ellipsis(self) -> str:
        return "…" if self.unicode else "..."

    def change(self, before: int, after: int) -> str:
        """Returns "↑2→3", or "2->3" in ASCII."""
        if not self.unicode:
            return f"{before}->{after}"
        direction = "↑" if after > before else "↓" if after < before else ""
        return f"{direction}{before}→{after}"

    def cut(self, text: str, width: int) -> str:
        """Shortens `text` to `width` cells of a terminal."""
        if display_width(text) <= width:
            return text
        room = width - display_width(self.ellipsis)
        if room <= 0:
            return self.ellipsis[:width]
        kept = ""
        for character in text:
            room -= display_width(character)
            if room < 0:
                break
            kept += character
        return kept.rstrip() + self.ellipsis
