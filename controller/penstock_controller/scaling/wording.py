"""Numbers in the reasons that people read."""

from __future__ import annotations

import math


def amount(number: int, noun: str) -> str:
    """Says "1 replica", "2 replicas"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seconds_left(until: float, now: float) -> str:
    """Says how long it is, in whole seconds and never too short: "43 s"."""
    return f"{max(0, math.ceil(until - now))} s"


def verb(number: int, singular: str, plural: str) -> str:
    """Chooses the form of a verb."""
    return singular if number == 1 else plural
