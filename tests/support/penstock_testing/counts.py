"""How often the tests that count repetitions repeat."""

from __future__ import annotations

import os

FULL = bool(os.environ.get("PENSTOCK_FULL_COUNTS"))


def times(usual: int, full: int) -> int:
    """Returns `full` when PENSTOCK_FULL_COUNTS is set, else `usual`: the whole suite has ten minutes on two cores."""
    return full if FULL else usual
