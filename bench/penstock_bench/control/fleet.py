"""The fleets that are simulated, and who is in them. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

DEPLOYMENT = "fleet-00000000"

CAPACITY = 1000
"""Slots of a replica: far more than are used, so that no count is cut off."""

PROBES_MAX = 16
PROBE_RATE = 1.0
"""Runners whose count only grows, by so many streams per second: a count then says when it was sent."""

STREAM_S = 600.0
"""Mean duration of a stream."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """One fleet and its load; all its replicas serve one deployment, which is the worst case for the policy."""

    key: str
    runners: int
    edges: int
    streams: int
    runners_per_connection: int = 1
    """A runner has a connection of its own; thousands of them are too many for one simulating process."""
    churns: bool = True
    """Whether streams open and close; without, runners and edges send what keeps their leases."""
    standard: bool = True
    """Measured unless rows are chosen."""

    @property
    def opens_per_s(self) -> float:
        """Streams that open, and as many that close, per second."""
        return self.streams / STREAM_S if self.churns else 0.0

    @property
    def probes(self) -> int:
        return min(PROBES_MAX, self.runners) if self.churns else 0


FLEETS: tuple[Fleet, ...] = (
    Fleet("100-idle", 100, 5, 20_000, churns=False),
    Fleet("100", 100, 5, 20_000),
    Fleet("1000-idle", 1000, 50, 200_000, churns=False),
    Fleet("1000", 1000, 50, 200_000),
    Fleet("10000-idle", 10_000, 50, 2_000_000, 10, churns=False, standard=False),
    Fleet("10000", 10_000, 50, 2_000_000, 10, standard=False),
)


def replica_id(number: int) -> str:
    return f"{DEPLOYMENT}-{number:05d}"
