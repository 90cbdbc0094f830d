"""What perfect knowledge would have needed: the yardstick of a run. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right

from penstock_controller.simulate.recording import Steps
from penstock_controller.simulate.workload import Streams


def oracle_of(streams: Streams, slots: int, min_replica: int, max_replica: int) -> Steps:
    """Returns the fewest replicas that could carry every stream from its arrival on, as it changes over time.

    Streams could be moved and replicas would start in no time, so no policy can be as good.
    """
    ends = sorted(
        end
        for at, duration in zip(streams.arrived_at, streams.duration, strict=True)
        if (end := at + duration) <= streams.horizon_s
    )
    most = max(1, max_replica)
    level = min(most, min_replica)
    steps: Steps = [(0.0, level)]
    active, ended = 0, 0
    low, high = _bounds(level, slots, min_replica, most)
    for at in [*streams.arrived_at, streams.horizon_s]:
        while ended < len(ends) and ends[ended] <= at:
            active -= 1
            if active < low:
                level = _needed(active, slots, min_replica, most)
                low, high = _bounds(level, slots, min_replica, most)
                _step(steps, ends[ended], level)
            ended += 1
        if at >= streams.horizon_s:
            break
        active += 1
        if active > high:
            level = _needed(active, slots, min_replica, most)
            low, high = _bounds(level, slots, min_replica, most)
            _step(steps, at, level)
    return steps


def _needed(active: int, slots: int, least: int, most: int) -> int:
    return min(most, max(least, -(-active // slots)))


def _bounds(level: int, slots: int, least: int, most: int) -> tuple[float, float]:
    """Fewest and most streams for which the level stays."""
    low = -1.0 if level <= least else (level - 1) * slots + 1
    high = float("inf") if level >= most else level * slots
    return low, high


def _step(steps: Steps, at: float, level: int) -> None:
    if steps[-1][0] == at:
        steps[-1] = (at, level)
    else:
        steps.append((at, level))


def integral(steps: Steps, begin: float, end: float) -> float:
    """Returns the sum over time, in seconds times replicas."""
    total = 0.0
    for index, (at, level) in enumerate(steps):
        until = steps[index + 1][0] if index + 1 < len(steps) else end
        total += level * max(0.0, min(until, end) - max(at, begin))
    return total


def level_at(steps: Steps, at: float) -> int:
    """Returns the number at a moment; 0 before the first."""
    index = bisect_right(steps, at, key=lambda step: step[0])
    return steps[index - 1][1] if index else 0


def time_to_capacity(oracle: Steps, ready: Steps, begin: float, end: float) -> float:
    """Returns the longest time from when one replica more was needed until so many were ready.

    Only numbers count that were not needed before `begin`. 0 when they were ready in time; when they never were before
    `end`, the time until then.
    """
    before = level_at(oracle, math.nextafter(begin, -math.inf))
    longest, reached = 0.0, before
    for at, level in oracle:
        if not begin <= at < end or level <= reached:
            continue
        for needed in range(reached + 1, level + 1):
            longest = max(longest, _first(ready, begin, end, lambda value, n=needed: value >= n) - at)
        reached = level
    return max(0.0, longest)


def time_to_shrink(oracle: Steps, existing: Steps, begin: float, end: float) -> float | None:
    """Returns the time from `begin` until half of the replicas are gone that the load needs no more.

    What it still needs is the most that is needed in the second half of the time. `end - begin` when it did not come
    to that; None when there was nothing to shrink.
    """
    half = (begin + end) / 2
    still = max([level_at(oracle, half), *(level for at, level in oracle if half <= at < end)])
    surplus = level_at(existing, begin) - still
    if surplus <= 0:
        return None
    goal = still + surplus // 2
    return _first(existing, begin, end, lambda value: value <= goal) - begin


def _first(steps: Steps, begin: float, end: float, holds: object) -> float:
    assert callable(holds)
    if holds(level_at(steps, begin)):
        return begin
    return next((at for at, level in steps if begin <= at < end and holds(level)), end)
