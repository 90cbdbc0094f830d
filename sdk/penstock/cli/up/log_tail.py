"""Follows the log file of a process, and makes lines for people of what is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

READ_BYTES_MAX = 256 * 1024
"""Bytes shown per poll; a model that writes faster is not to hold up the other replicas."""
LAG_BYTES_MAX = 4 * 1024 * 1024
"""A tail that is further behind skips to the end."""
LINE_BYTES_MAX = 16 * 1024
"""A longer line is shown in parts."""

_KNOWN_KEYS = frozenset({"timestamp", "level", "event", "component", "logger", "exception", "traceback", "replica"})
"""Keys that are not repeated: what they say is in the line otherwise, or before it."""
_TOLD_OTHERWISE = frozenset({"model_load_failed", "model_not_reloaded", "controller_lost"})
"""Events of runners that `penstock up` tells itself: in full, or once instead of once per runner."""
_LOUD_LEVELS = frozenset({"warning", "error", "critical"})


class LogTail:
    """Reads what is appended to one file. The file may be missing as yet, and may be truncated or replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._inode = 0
        self._rest = b""

    def read_lines(self) -> list[str]:
        """Returns the complete lines written since the last call, without their ends."""
        try:
            with self.path.open("rb") as file:
                data, note = self._read(file.fileno())
        except OSError:
            return []
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_BYTES_MAX:
            lines.append(self._rest)
            self._rest = b""
        return note + [_decode(part) for line in lines for part in _parts(line)]

    def finish(self) -> list[str]:
        """Returns everything that is left, a last line without end included."""
        lines: list[str] = []
        while more := self.read_lines():
            lines += more
        if self._rest:
            lines.append(_decode(self._rest))
            self._rest = b""
        return lines

    def _read(self, fd: int) -> tuple[bytes, list[str]]:
        found = os.fstat(fd)
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._inode, self._offset, self._rest = found.st_ino, 0, b""
        note: list[str] = []
        behind = found.st_size - self._offset
        if behind > LAG_BYTES_MAX:
            skipped = behind - READ_BYTES_MAX
            self._offset += skipped
            self._rest = b""
            note.append(f"... {skipped} bytes are not shown; all of it is in {self.path}")
        data = os.pread(fd, READ_BYTES_MAX, self._offset)
        self._offset += len(data)
        return data, note


def render_line(line: str) -> str | None:
    """Makes a line for people of a line of a log file; None when it is of no interest to them.

    What the model prints is kept as it is. Of JSON records, those of other loggers (the model's) are shown, and those
    of Penstock itself from warnings on.
    """
    record = _record(line)
    if record is None:
        return line
    level = str(record.get("level", "info"))
    if "logger" not in record and (level not in _LOUD_LEVELS or record["event"] in _TOLD_OTHERWISE):
        return None
    keys = [f"{key}={_value(value)}" for key, value in record.items() if key not in _KNOWN_KEYS]
    text = " ".join([level.upper(), str(record["event"]), *keys])
    if traceback := record.get("traceback") or record.get("exception"):
        text += f"\n{str(traceback).rstrip()}"
    return text


def render_text(text: str) -> str:
    """Does for every line of `text` what render_line does."""
    rendered = (render_line(line) for line in text.splitlines())
    return "\n".join(line for line in rendered if line is not None)


def last_lines(path: Path, offset: int, count: int) -> list[str]:
    """Returns the last `count` lines, rendered, of what was written to `path` after `offset` bytes."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # A file that is shorter now was put aside and begun anew.
            file.seek(max(offset if offset <= size else 0, size - READ_BYTES_MAX))
            text = file.read(READ_BYTES_MAX)
    except OSError:
        return []
    rendered = [render_line(_decode(line)) for line in text.split(b"\n") if line.strip()]
    return [line for line in rendered if line is not None][-count:]


def _record(line: str) -> dict[str, Any] | None:
    """Returns the log record that `line` is, or None when it is something else, be it other JSON."""
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if isinstance(record, dict) and "event" in record and "component" in record:
        return record
    return None


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value and value else json.dumps(value, ensure_ascii=False)


def _parts(line: bytes) -> list[bytes]:
    if len(line) <= LINE_BYTES_MAX:
        return [line]
    return [line[start : start + LINE_BYTES_MAX] for start in range(0, len(line), LINE_BYTES_MAX)]


def _decode(line: bytes) -> str:
    # A progress bar rewrites its line with carriage returns: the last state is what a terminal would show.
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
