"""Reads one log: its last lines, and then what is written to it, over the moments at which it is put aside.

See penstock.log_files: a file that gets too big is copied to "NAME.1" and begins at 0 again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from penstock.log_files import COPIES

BLOCK_BYTES = 64 * 1024

READ_BYTES_MAX = 1024 * 1024
"""What one call of `new_lines` reads; the rest comes with the next one."""

TAIL_BYTES_MAX = 16 * 1024 * 1024
"""How far back last lines are looked for."""

LINE_BYTES_MAX = 32 * 1024
"""Longer lines are cut."""


class LogTail:
    """One reader of one log. Files that do not exist are empty."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        """Up to where the file was read."""
        self._copy: tuple[int, int] = (0, 0)
        """Which file the newest copy was."""
        self._rest = b""
        """The beginning of a line whose end is not written yet."""
        self._cut = 0
        """Bytes of it that were dropped."""

    def last_lines(self, count: int) -> list[str]:
        """Returns the last whole lines, and goes on from there."""
        blocks: list[bytes] = []
        newlines = size = 0
        self._offset = 0
        for number, path in enumerate(self._parts()):
            try:
                with path.open("rb") as file:
                    end = file.seek(0, os.SEEK_END)
                    self._offset = end if number == 0 else self._offset
                    while end and newlines <= count and size < TAIL_BYTES_MAX:
                        begin = max(0, end - BLOCK_BYTES)
                        blocks.append(_read_at(file, begin, end - begin))
                        newlines += blocks[-1].count(b"\n")
                        size += len(blocks[-1])
                        end = begin
            except FileNotFoundError:
                continue
        content = b"".join(reversed(blocks))
        self._copy = self._newest_copy()[0]
        self._rest, self._cut = b"", 0
        lines = self._take(content)
        return lines[-count:] if count else []

    def new_lines(self) -> list[str]:
        """Returns the whole lines that were written since the last call."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if self._was_put_aside(size):
                    return self._rest_of_copy()
                content = _read_at(file, self._offset, min(size - self._offset, READ_BYTES_MAX))
        except FileNotFoundError:
            return []
        self._offset += len(content)
        return self._take(content)

    def unfinished(self) -> list[str]:
        """Returns the line whose end is not written yet, if there is one, and forgets it."""
        rest, cut = self._rest, self._cut
        self._rest, self._cut = b"", 0
        return [_text(rest, cut)] if rest else []

    def _parts(self) -> list[Path]:
        """The newest first."""
        return [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, COPIES + 1))]

    def _newest_copy(self) -> tuple[tuple[int, int], int]:
        """Returns which file it is, and its size."""
        try:
            found = self._parts()[1].stat()
        except FileNotFoundError:
            return (0, 0), 0
        return (found.st_ino, found.st_mtime_ns), found.st_size

    def _was_put_aside(self, size: int) -> bool:
        """Tells whether the file has begun anew since the last look, though it may by now be longer than then.

        While the copy is made the file is not shorter than the copy.
        """
        copy, copy_size = self._newest_copy()
        if size >= self._offset and (copy == self._copy or size >= copy_size):
            return False
        self._copy = copy
        return True

    def _rest_of_copy(self) -> list[str]:
        """The file has begun anew: what was written to it before that is at the end of the copy."""
        offset, self._offset = self._offset, 0
        try:
            with self._parts()[1].open("rb") as copy:
                size = os.fstat(copy.fileno()).st_size
                # A copy that is shorter holds the end of a huge file; where it begins in it is not known.
                return self._take(_read_at(copy, offset, size - offset)) if size > offset else []
        except FileNotFoundError:
            return []

    def _take(self, content: bytes) -> list[str]:
        *whole, rest = content.split(b"\n")
        lines: list[str] = []
        for line in whole:
            self._extend(line)
            lines.append(_text(self._rest, self._cut))
            self._rest, self._cut = b"", 0
        self._extend(rest)
        return lines

    def _extend(self, part: bytes) -> None:
        room = LINE_BYTES_MAX - len(self._rest)
        self._rest += part[:room]
        self._cut += max(0, len(part) - room)


def _read_at(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _text(line: bytes, cut: int) -> str:
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    return f"{text} … ({cut} bytes more)" if cut else text
