"""Whole replicas for a load."""

from __future__ import annotations

import math

ROUNDING = 1e-9
"""Share of a replica that is taken for an error of floating point, not for load."""


def replicas_for(load: float, load_per_replica: float) -> int:
    """Fewest replicas that carry `load`."""
    return max(0, math.ceil(load / load_per_replica - ROUNDING))
