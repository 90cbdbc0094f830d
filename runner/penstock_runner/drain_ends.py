"""When the streams of a draining replica are ended: not all in one moment, or their clients all come back in one."""

from __future__ import annotations

from collections.abc import Callable


def spread_ends(streams: int, grace_s: float, spread_s: float, draw: Callable[[], float]) -> list[float]:
    """Returns for each stream after how many seconds it is ended: within the last `spread_s` of `grace_s`.

    The time of each stream is uniformly random, but not independent of the others: the spread is cut into as many equal
    parts as there are streams, and each part has one end. So it never happens that many ends fall together.

    Args:
        spread_s: at most `grace_s` counts; below 0 counts as 0.
        draw: random numbers from 0 to 1.
    """
    spread_s = min(max(spread_s, 0.0), grace_s)
    parts = list(range(streams))
    # Fisher and Yates: who has which part must not depend on the order of the streams.
    for last in range(streams - 1, 0, -1):
        other = min(int(draw() * (last + 1)), last)
        parts[last], parts[other] = parts[other], parts[last]
    return [grace_s - spread_s + spread_s * (part + draw()) / streams for part in parts]
