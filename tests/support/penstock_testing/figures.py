"""Measured figures of a test, shown by `pytest -rP` or `pytest -s`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

MIB = 1 << 20


def show(what: str, **figures: float) -> None:
    """Writes one line of figures."""
    values = ", ".join(
        f"{name}={value:g}" if abs(value) < 1 else f"{name}={value:,.6g}" for name, value in figures.items()
    )
    sys.stdout.write(f"FIGURE {what}: {values}\n")


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
