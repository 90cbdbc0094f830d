"""How many streams were admitted a moment ago.

Edges tell how many streams wait, and replicas how many they have, and the two never arrive together. A stream that was
admitted a moment ago may stand in both, and would call for a replica that nobody needs.
"""

from __future__ import annotations

Admissions = tuple[tuple[float, int], ...]
"""(time, open streams from then on), both rising. The first is the least number of the last SETTLE_S."""

SETTLE_S = 1.0
"""Reports on the same stream come within this time: both sides tell every change at once, in intervals of 50 ms."""

STEP_S = SETTLE_S / 16
"""Rises that follow one another faster count as one."""


def with_streams(admissions: Admissions, active_streams: int, now: float) -> Admissions:
    """Adds how many streams are open now, and drops what no longer matters."""
    kept = len(admissions)
    while kept and admissions[kept - 1][1] >= active_streams:
        kept -= 1
    if kept < len(admissions):
        # There were more in between: since then it has been no less than now.
        rising = (*admissions[:kept], (admissions[kept][0], active_streams))
    elif kept > 1 and now - admissions[-1][0] < STEP_S:
        rising = (*admissions[:-1], (admissions[-1][0], active_streams))
    else:
        rising = (*admissions, (now, active_streams))
    outdated = 0
    while outdated + 1 < len(rising) and rising[outdated + 1][0] + SETTLE_S <= now:
        outdated += 1
    return rising[outdated:]


def admitted(admissions: Admissions, active_streams: int) -> int:
    """How many of the open streams were not there SETTLE_S ago."""
    return max(0, active_streams - admissions[0][1]) if admissions else 0


def settled_at(admissions: Admissions) -> float | None:
    """When fewer may count as admitted a moment ago, without an event; None when none do."""
    return admissions[1][0] + SETTLE_S if len(admissions) > 1 else None
