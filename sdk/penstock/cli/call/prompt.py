"""The terminal of an interactive conversation: lines are typed below while replies appear above."""

from __future__ import annotations

import contextlib
import sys
import termios
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from penstock.cli.call.feed import Feed

PROMPT = "> "
LINES_WAITING_MAX = 100
"""Lines that were typed or pasted and are not sent yet; typing waits beyond it."""
_ERASE = "\r\x1b[K"


class Prompt:
    """Reads lines from the terminal on a thread of its own, with the editing and the history of readline."""

    def __init__(self) -> None:
        self._lines: Feed[str | None] = Feed(LINES_WAITING_MAX)
        self._is_asking = False
        try:
            import readline
        except ImportError:  # a Python without it: lines are read plainly
            self._buffer: Callable[[], str] = str
        else:
            self._buffer = readline.get_line_buffer

    async def lines(self) -> AsyncIterator[str]:
        """Yields what is typed, until Ctrl-D."""
        # A daemon: nothing can end a read of the terminal, and the program must be able to end all the same.
        threading.Thread(target=self._read, name="prompt", daemon=True).start()
        while (line := await self._lines.get()) is not None:
            yield line

    def show(self, text: str) -> None:
        """Shows a text above the line that is being typed."""
        if not self._is_asking:
            sys.stdout.write(f"{text}\n")
        else:
            sys.stdout.write(f"{_ERASE}{text}\n{PROMPT}{self._buffer()}")
        sys.stdout.flush()

    def leave(self) -> None:
        """Takes the prompt away, when a line was begun that nobody will read."""
        self._lines.close()
        if self._is_asking:
            sys.stdout.write(_ERASE)
            sys.stdout.flush()
            self._is_asking = False

    def _read(self) -> None:
        while True:
            line: str | None
            self._is_asking = True
            try:
                line = input(PROMPT)
            except (EOFError, OSError):
                line = None
            self._is_asking = False
            if not self._lines.put(line) or line is None:
                return


@contextlib.contextmanager
def terminal_restored() -> Iterator[None]:
    """Gives the terminal back as it was: readline changes it while a line is read, and may not come to its end."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
