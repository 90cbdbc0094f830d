"""A line on stderr that tells how far something is: rewritten on a terminal, printed once anywhere else."""

from __future__ import annotations

import time
from typing import TextIO

REWRITE_S = 0.1
"""Shortest time between two states on a terminal."""
_ERASE = "\r\x1b[K"


class ProgressLine:
    """Shows one state after the other. Use `end` for the last."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown_at = float("-inf")
        self._is_open = False

    def show(self, text: str) -> None:
        """Shows a state for the moment; nowhere but on a terminal, and not too often."""
        now = time.monotonic()
        if self._is_terminal and now - self._shown_at >= REWRITE_S:
            self._shown_at = now
            self._stream.write(f"{_ERASE}{text}")
            self._stream.flush()
            self._is_open = True

    def end(self, text: str) -> None:
        """Shows a text that stays."""
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Takes away what was shown for the moment."""
        if self._is_open:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._is_open = False
