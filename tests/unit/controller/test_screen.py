from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest

from penstock_controller.cli.screen import Screen

COLUMNS, ROWS = 20, 5
END = b"\x1b[J"
"""The last of every picture."""
WAIT_S = 10.0


class Terminal:
    """The other side of a terminal: what was written to it."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.out: TextIO = open(slave, "w", encoding="utf-8")  # noqa: SIM115  # closed with the terminal

    def written(self) -> str:
        """Returns the next picture. A terminal hands over what is written to it in pieces of any size."""
        data = b""
        while not data.endswith(END) and select.select([self._master], [], [], WAIT_S)[0]:
            data += os.read(self._master, 65536)
        return data.decode().replace("\r\n", "\n")

    def close(self) -> None:
        self.out.close()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


def test_second_picture_is_drawn_over_the_first(terminal: Terminal) -> None:
    screen = Screen(terminal.out)

    screen.draw("one\ntwo\n")
    first = terminal.written()
    screen.draw("three\n")
    second = terminal.written()

    assert first == "\x1b[2J\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J"
    assert second == "\x1b[Hthree\x1b[K\n\x1b[J"


def test_lines_beyond_the_terminal_are_counted(terminal: Terminal) -> None:
    Screen(terminal.out).draw("".join(f"line {n}\n" for n in range(10)))

    shown = terminal.written()
    assert shown.count("\n") == ROWS - 1
    assert "line 2" in shown and "line 3" not in shown
    assert "(7 more lines)" in shown


def test_long_lines_are_cut_without_breaking_colours(terminal: Terminal) -> None:
    Screen(terminal.out).draw(f"\x1b[32m{'x' * 30}\x1b[0m yes\n{'状' * 11}\n")

    assert f"\x1b[32m{'x' * 20}\x1b[0m\x1b[K\n" in (shown := terminal.written())
    assert f"{'状' * 10}\x1b[K\n" in shown
