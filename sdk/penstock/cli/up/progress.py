"""What `penstock up` prints: a spinner with log lines above it on a terminal, plain lines anywhere else."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from rich.console import Console
from rich.status import Status
from rich.style import Style
from rich.text import Text

_PREFIX_COLORS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
_UNSAFE = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links, clipboard
    r"|\x1b(?:[^\[]|$)"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]"
)
"""What could change the state of a terminal, but for CSI sequences, of which Text.from_ansi keeps only colours."""


class View(Protocol):
    """Where `penstock up` prints."""

    def progress(self, lines: Sequence[str]) -> None:
        """Shows what is waited for now, in place of what was shown before; nothing when empty."""

    def note(self, line: str) -> None:
        """Prints a line about what happens."""

    def log_line(self, label: str, line: str) -> None:
        """Prints a line of a replica's output."""

    def text(self, text: str) -> None:
        """Prints a text as it is."""

    def error(self, text: str) -> None:
        """Prints to stderr."""

    def close(self) -> None:
        """Leaves the terminal as it was."""


def make_view() -> View:
    """Returns the view for this process's stdout and stderr."""
    console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalView(console, sys.stderr)
    return PlainView(sys.stdout, sys.stderr)


class PlainView:
    """Plain lines, each printed once."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._shown: tuple[str, ...] = ()

    def progress(self, lines: Sequence[str]) -> None:
        for line in lines:
            if line not in self._shown:
                self.note(line)
        self._shown = tuple(lines)

    def note(self, line: str) -> None:
        self._print(self._stdout, line)

    def log_line(self, label: str, line: str) -> None:
        self._print(self._stdout, prefixed(label, line))

    def text(self, text: str) -> None:
        self._print(self._stdout, text)

    def error(self, text: str) -> None:
        self._print(self._stderr, text)

    def close(self) -> None:
        pass

    @staticmethod
    def _print(file: TextIO, text: str) -> None:
        try:
            print(printable(text, file.encoding), file=file, flush=True)
        except OSError:
            # Nobody reads any more (`penstock up | head`): that is no reason to stop serving.
            pass


class TerminalView:
    """A spinner at the bottom while something is waited for; everything else is printed above it."""

    def __init__(self, console: Console, stderr: TextIO) -> None:
        self._console = console
        # The spinner must know what is printed, also to stderr, where both are the same terminal.
        self._errors = console if stderr.isatty() else Console(file=stderr, highlight=False, markup=False)
        self._status: Status | None = None
        self._colors: dict[str, str] = {}

    def progress(self, lines: Sequence[str]) -> None:
        if not lines:
            self.close()
            return
        text = Text("\n  ".join(lines))
        if self._status is None:
            self._status = self._console.status(text, spinner="dots")
            self._status.start()
        else:
            self._status.update(text)

    def note(self, line: str) -> None:
        self._print(self._console, Text(line))

    def log_line(self, label: str, line: str) -> None:
        name = label.rpartition("/")[0] or label
        color = self._colors.setdefault(name, _PREFIX_COLORS[len(self._colors) % len(_PREFIX_COLORS)])
        for part in line.split("\n"):
            text = Text.assemble((f"{label} | ", Style(color=color)), Text.from_ansi(_UNSAFE.sub("", part)))
            self._print(self._console, text)

    def text(self, text: str) -> None:
        self._print(self._console, Text(text))

    def error(self, text: str) -> None:
        self._print(self._errors, Text(text))

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    @staticmethod
    def _print(console: Console, text: Text) -> None:
        try:
            text.plain = printable(text.plain, console.encoding)
            console.print(text, soft_wrap=True)
        except OSError:
            # The terminal is gone: what is being stopped must be stopped all the same.
            pass


def printable(text: str, encoding: str | None) -> str:
    """Writes what `encoding` cannot say as escapes, half a surrogate pair for example. Models log anything."""
    kind = encoding or "utf-8"
    return text.encode(kind, "backslashreplace").decode(kind)


def prefixed(label: str, line: str) -> str:
    """Puts the replica's label before every line of `line`."""
    return "\n".join(f"{label} | {part}" for part in line.split("\n"))
