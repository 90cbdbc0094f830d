"""From what was sent and what was seen, how long the way takes. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value at `share` (0 to 1) of ascending values, never one that was not measured; None of none."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def snapshot_delays(
    sent: Iterable[tuple[float, int, int]],
    seen: Iterable[tuple[float, int, int, int]],
    edges: int,
    since: float,
    until: float,
) -> tuple[list[float], int]:
    """Returns how long each count took to each edge, ascending, and how many never arrived.

    Counts of a probe only grow, so a count has arrived with the first snapshot that shows it or a later one.

    Args:
        sent: (time, probe, count), every count that a probe has sent.
        seen: (time, edge, probe, count), every count that was new to an edge, in the order of time.
        since: with `until`, when the counts were sent that are looked at.
    """
    history: dict[tuple[int, int], tuple[list[int], list[float]]] = {}
    for at, edge, probe, count in seen:
        counts, times = history.setdefault((edge, probe), ([], []))
        counts.append(count)
        times.append(at)
    delays = []
    lost = 0
    for at, probe, count in sent:
        if not since <= at <= until:
            continue
        for edge in range(edges):
            counts, times = history.get((edge, probe), ([], []))
            found = bisect_left(counts, count)
            if found == len(counts):
                lost += 1
            else:
                delays.append(max(0.0, times[found] - at))
    return sorted(delays), lost
