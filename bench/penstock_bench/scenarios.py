"""The situations that are measured. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KIB = 1024


@dataclass(frozen=True, slots=True)
class Group:
    """Equal connections of one load generator run.

    `rate` is messages per second per connection; 0 means a closed loop with `in_flight` messages outstanding.
    """

    name: str
    conns: int
    size: int
    in_flight: int = 1
    rate: float = 0.0
    reads: bool = True

    def option(self) -> str:
        """The group as ws_load's `-group` wants it."""
        parts = [f"c={self.conns}", f"k={self.in_flight}", f"s={self.size}"]
        if self.rate:
            parts.append(f"r={self.rate:g}")
        if not self.reads:
            parts.append("noread")
        return f"{self.name}:{','.join(parts)}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the benchmark. The figures shown are those of the first group; the others are its company."""

    key: str
    title: str
    groups: tuple[Group, ...]
    mode: Literal["load", "idle", "churn"] = "load"
    quick: bool = True
    once: bool = False
    cycles: int = 0

    @property
    def paced(self) -> bool:
        return bool(self.groups[0].rate)


def _closed(key: str, title: str, size: int, in_flight: int, *, quick: bool = True) -> Scenario:
    return Scenario(key, title, (Group("all", 64, size, in_flight),), quick=quick)


# Memory comes first and once per target: after a load, freed heap hides what a new stream takes.
SCENARIOS: tuple[Scenario, ...] = (
    Scenario("idle", "2,000 idle streams", (Group("all", 2000, 100),), mode="idle", once=True),
    _closed("s1", "100 B, 1 in flight", 100, 1),
    _closed("s16", "100 B, 16 in flight", 100, 16),
    _closed("m1", "4 KiB, 1 in flight", 4 * KIB, 1, quick=False),
    _closed("m16", "4 KiB, 16 in flight", 4 * KIB, 16),
    _closed("l1", "64 KiB, 1 in flight", 64 * KIB, 1, quick=False),
    _closed("l2", "64 KiB, 2 in flight", 64 * KIB, 2),
    _closed("l16", "64 KiB, 16 in flight", 64 * KIB, 16, quick=False),
    Scenario("r20", "4 KiB, 20 messages/s each (1,280/s)", (Group("all", 64, 4 * KIB, rate=20),)),
    Scenario("r150", "4 KiB, 150 messages/s each (9,600/s)", (Group("all", 64, 4 * KIB, rate=150),)),
    Scenario(
        "beside",
        "62 light streams (640 B, 20 messages/s) beside 2 that send 64 KiB flat out, 16 in flight",
        (Group("light", 62, 640, rate=20), Group("heavy", 2, 64 * KIB, 16)),
    ),
    Scenario(
        "noread",
        "62 light streams (640 B, 20 messages/s) beside 2 that send 64 KiB flat out and never read",
        (Group("light", 62, 640, rate=20), Group("slow", 2, 64 * KIB, reads=False)),
        quick=False,
    ),
    Scenario("churn", "open, one message, close: 64 at once", (Group("all", 64, 100),), mode="churn", cycles=4000),
)
