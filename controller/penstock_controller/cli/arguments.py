"""Arguments of commands: how a command is added, and the types of its options. Pure."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
EXAMPLES = "examples:"

_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class _Help(argparse.HelpFormatter):
    """Fills the description to the width of the terminal, and leaves the lines of the examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(EXAMPLES) else super()._fill_text(text, width, indent)


def add_command(
    commands: Any, name: str, *, help: str, description: str = "", examples: Sequence[str]
) -> argparse.ArgumentParser:
    """Adds a command whose --help ends with examples.

    Args:
        commands: What `add_subparsers` returned.
        name: Of the command.
        help: One line, shown beside the name.
        description: What is worth knowing before the first use. Default: `help` as a sentence.
        examples: Whole command lines.
    """
    shown = "\n".join(f"  {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description or f"{help[:1].upper()}{help[1:]}.",
        epilog=f"{EXAMPLES}\n{shown}",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    return parser


def seconds(text: str) -> float:
    """Type of an argument: above 0, at most an hour."""
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 3600, got {text}")
    return value


def duration(low_s: float, high_s: float) -> Callable[[str], float]:
    """Returns the type of an argument: seconds, or a number with s, m, h or d; result in seconds."""

    def read(text: str) -> float:
        match = _DURATION.fullmatch(text)
        value = float(match[1]) * _UNIT_S[match[2]] if match else -1.0
        if not low_s <= value <= high_s:
            raise argparse.ArgumentTypeError(
                f"must be seconds, or a number with s, m, h or d, {low_s:g} to {high_s:g} s in all, got {text!r}"
            )
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Returns the type of an argument: an integer from `low` to `high`."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, got {text!r}")
        return value

    return read
