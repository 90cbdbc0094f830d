"""Shows what a model answers: on a terminal for people, anywhere else byte by byte."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from penstock.cli import exit_status
from penstock.cli.byte_sizes import size_text
from penstock.cli.command_error import CommandError, ReaderGoneError

BINARY_BYTES_SHOWN = 16
"""Of a binary message that is shown as a summary."""

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), 127, *range(128, 160))} | {ord("\r"): "\\r"}
"""What a model must not do to the terminal of who calls it."""


class Printer:
    """Where answers go. Use it in a `with` block.

    Args:
        output: A file that gets every byte, instead of stdout.
        indents: JSON is indented, although stdout is no terminal.
    """

    def __init__(self, output: Path | None, *, indents: bool) -> None:
        self._path = output
        self._file: BinaryIO | None = None
        self._written = 0
        self.is_terminal = output is None and sys.stdout.isatty()
        self._indents = indents or self.is_terminal
        self._ends_line = True

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._file = self._path.open("wb")
            except OSError as exc:
                raise CommandError(f"cannot write {self._path}: {exc.strerror}", exit_status.USAGE) from None
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            if exc_type is None:
                print(f"wrote {size_text(self._written)} to {self._path}", file=sys.stderr)
        elif self.is_terminal and not self._ends_line:
            self._write(b"\n")

    def answer(self, content: bytes, content_type: str) -> None:
        """Shows a whole answer."""
        if self._file is not None:
            self._write(content)
        elif self._indents and (pretty := _indented(content)) is not None:
            self._write(self._safe(pretty) + b"\n")
        elif self.is_terminal and not _is_text(content):
            kind = f" of {content_type}" if content_type else ""
            self._write(f"{size_text(len(content))}{kind}; write them with --output FILE\n".encode())
        else:
            self._write(self._safe(content.decode("utf-8", "replace")) if self.is_terminal else content)

    def part(self, content: bytes) -> None:
        """Shows a part of an answer that comes bit by bit, as it is."""
        # A character may be cut in two by the parts; a terminal puts it together again.
        text = content.decode("utf-8", "surrogateescape")
        self._write(text.translate(_CONTROL).encode("utf-8", "surrogateescape") if self.is_terminal else content)

    def message(self, message: str | bytes) -> None:
        """Shows one message of a stream, on a line of its own; binary ones as a summary unless there is a file."""
        if self._file is not None:
            self._write(message if isinstance(message, bytes) else f"{message}\n".encode())
        else:
            self._write(f"{self.text_of(message)}\n".encode("utf-8", "replace"))

    def text_of(self, message: str | bytes) -> str:
        """Returns how a message is shown."""
        if isinstance(message, bytes):
            shown = message[:BINARY_BYTES_SHOWN].hex(" ") + (" …" if len(message) > BINARY_BYTES_SHOWN else "")
            return f"[binary, {size_text(len(message))}: {shown}]"
        pretty = _indented(message.encode("utf-8", "replace")) if self._indents and message[:1] in ("{", "[") else None
        text = message if pretty is None else pretty
        return text.translate(_CONTROL) if self.is_terminal else text

    def _safe(self, text: str) -> bytes:
        return (text.translate(_CONTROL) if self.is_terminal else text).encode("utf-8", "replace")

    def _write(self, content: bytes) -> None:
        if not content:
            return
        target = self._file or sys.stdout.buffer
        try:
            target.write(content)
            target.flush()
        except BrokenPipeError:
            raise ReaderGoneError from None
        except OSError as exc:
            raise CommandError(f"cannot write {self._path or 'the answer'}: {exc.strerror}") from None
        self._written += len(content)
        self._ends_line = content.endswith(b"\n")


def _indented(content: bytes) -> str | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return json.dumps(value, indent=2, ensure_ascii=False)


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content
