"""The output of a program as lines for people. Pure."""

from __future__ import annotations

import re

LINE_BYTES_MAX = 4000
"""A longer line is cut."""
PROGRESS_INTERVAL_S = 1.0
"""Of lines that overwrite one another (progress bars), one in this time is shown."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class OutputLines:
    """Takes bytes as they come, and gives whole lines without control characters."""

    def __init__(self) -> None:
        self._pending = b""
        self._shown_at = float("-inf")

    def feed(self, data: bytes, now: float) -> list[str]:
        """Returns the lines that are complete now."""
        *ended, self._pending = re.split(rb"(?<=[\r\n])", self._pending + data)
        if len(self._pending) > LINE_BYTES_MAX:
            ended.append(self._pending)
            self._pending = b""
        lines = []
        for raw in ended:
            if raw.endswith(b"\r"):
                if now - self._shown_at < PROGRESS_INTERVAL_S:
                    continue
                self._shown_at = now
            lines.append(_clean(raw))
        return [line for line in lines if line]

    def end(self) -> list[str]:
        """Returns what stands after the last line end."""
        rest, self._pending = _clean(self._pending), b""
        return [rest] if rest else []


def _clean(raw: bytes) -> str:
    text = _ESCAPES.sub("", raw[:LINE_BYTES_MAX].decode("utf-8", "replace")).rstrip()
    return "".join(character if character.isprintable() or character == "\t" else "" for character in text)
