"""Which environments go when there are too many. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

FRESH_S = 600.0
"""An environment that was used within this time stays: its replica may only just be about to start."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An environment that is there."""

    key: str
    bytes: int
    used_at: float
    """Seconds since the epoch."""
    base: str = ""
    """The environment that stands behind it; empty for none."""


@dataclass(frozen=True, slots=True)
class Eviction:
    keys: tuple[str, ...]
    """What goes, the longest unused first."""
    is_enough: bool
    """Whether the bounds hold afterwards; they do not when too much is in use."""


def choose_evictions(
    kept: Iterable[Kept], *, in_use: Collection[str], now: float, entries_max: int, bytes_max: int
) -> Eviction:
    """Chooses the longest unused environments until the bounds hold. What is in use or was just used never goes, nor
    what stands behind an environment that stays."""
    there = {entry.key: entry for entry in kept}
    gone: list[str] = []

    def is_over() -> bool:
        return len(there) > entries_max or sum(entry.bytes for entry in there.values()) > bytes_max

    def may_go(entry: Kept) -> bool:
        is_behind = any(other.base == entry.key for other in there.values())
        return entry.key not in in_use and now - entry.used_at >= FRESH_S and not is_behind

    while is_over():
        candidates = [entry for entry in there.values() if may_go(entry)]
        if not candidates:
            break
        oldest = min(candidates, key=lambda entry: (entry.used_at, entry.key))
        del there[oldest.key]
        gone.append(oldest.key)
    return Eviction(tuple(gone), not is_over())
