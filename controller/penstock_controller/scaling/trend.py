"""How many streams more there will be when a replica that is ordered now is ready.

With a load that rises by more than a replica holds while it starts, one replica after another always comes too late. So
the rise of the last seconds is taken to go on for as long as a replica takes to start.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

Levels = tuple[tuple[float, int], ...]
"""(time, streams from then on). The first is the level at the beginning of the window."""

WINDOW_MIN_S = 20.0
"""Least length of the window: rises of the last seconds alone are mostly chance."""

AHEAD_MAX = 3.0
"""Windows in the time of a start, at most: the window is longer where replicas start slowly."""

STARTUP_MAX_S = 360.0
"""A replica that starts more slowly than this is taken to need as long; nothing can be said of later."""

REACTION_S = 5.0
"""Added to the time of a start: a rise is known a little late, and at first too low."""

STEPS = 10
"""Steps of the window. Changes within one count as one."""

STEPS_MIN = 3
"""Steps that make a trend; fewer may be chance, or two crowds that came at once."""

JUMP = 3.0
"""A step that rises by more than so many times the mean of the others is a jump, and not the beginning of a trend."""

STARTUPS_MAX = 5
"""Starts from which the time of a start is known."""


def startup_s(startups: Sequence[float]) -> float:
    """Returns how long a replica takes to start; 0 when none has been seen."""
    return min(STARTUP_MAX_S, median(startups)) if startups else 0.0


def window_s(startup_s: float) -> float:
    """Returns how far back to look for replicas that take so long to start."""
    return max(WINDOW_MIN_S, startup_s / AHEAD_MAX)


def with_level(levels: Levels, streams: int, window_s: float, now: float) -> Levels:
    """Adds how many streams there are now, and drops what is older than the window."""
    if not levels or levels[-1][1] != streams:
        if len(levels) > 1 and now - levels[-1][0] < window_s / STEPS:
            levels = (*levels[:-1], (levels[-1][0], streams))
        else:
            levels = (*levels, (now, streams))
    outdated = 0
    while outdated + 1 < len(levels) and levels[outdated + 1][0] + window_s <= now:
        outdated += 1
    return levels[outdated:]


def expected(levels: Levels, startup_s: float) -> int:
    """Returns how many streams more there will be when a replica is ready. Not below 0: what falls may rise again."""
    steps = [after - before for (_, before), (_, after) in pairwise(levels)]
    if len(steps) < STEPS_MIN or startup_s <= 0:
        return 0
    highest = max(steps)
    rise = sum(steps) - highest
    if rise <= 0:
        # One jump, or one stream: neither says that more will follow.
        return 0
    believed = rise + min(highest, max(1.0, JUMP * rise / (len(steps) - 1)))
    return int(believed * (startup_s + REACTION_S) / window_s(startup_s))


def changes_at(levels: Levels, startup_s: float) -> float | None:
    """When the answer may change without an event; None when it cannot."""
    return levels[1][0] + window_s(startup_s) if len(levels) > 1 and startup_s > 0 else None
