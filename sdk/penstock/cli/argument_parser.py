"""A parser that takes an optional argument also after the options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


class ArgumentParser(argparse.ArgumentParser):
    """`NAME [DATA]` with options: DATA may stand behind them.

    Before Python 3.13 argparse takes an absent DATA for settled as soon as an option follows NAME, and refuses what
    comes then.
    """

    # argparse leaves it to its users what a namespace is.
    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]  # of several overloads, this is the one that all lead to
        found, left = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.option_strings or action.nargs != argparse.OPTIONAL or action.type is not None:
                continue
            late = next((text for text in left if text == "-" or not text.startswith("-")), None)
            if late is not None and getattr(found, action.dest) is action.default:
                setattr(found, action.dest, late)
                left.remove(late)
        return found, left
