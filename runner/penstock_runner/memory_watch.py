"""Whether a replica uses more memory than `resources.memory` in config.yaml says. Pure.

Nothing is enforced: without a container there is no limit but the machine's. Its operator is warned before that one is
met.
"""

from __future__ import annotations

from penstock.truss import TrussConfig

GROWTH = 1.1
"""A replica that goes on growing is warned of again after another tenth: a leak is seen, and the log stays short."""
RECOVERED = 0.95
"""Share of the limit below which the matter is over. Not 1, so that a replica at its limit is one warning, not many."""
MIB = 1024 * 1024


def memory_limit(config: TrussConfig) -> int | None:
    """Returns `resources.memory` in bytes; None when config.yaml does not say it, because a default binds nobody."""
    resources = config.raw.get("resources")
    if not isinstance(resources, dict) or resources.get("memory") is None:
        return None
    return config.resources.memory_bytes


class MemoryWatch:
    """The memory of one replica against its limit in bytes."""

    def __init__(self, limit_bytes: int | None) -> None:
        self._limit = limit_bytes
        self._warn_at = limit_bytes
        self.note = ""
        """What operators are told; "" when all is well. Replaced whole: any thread may read it."""

    def observe(self, resident_bytes: int) -> str | None:
        """Takes a measurement; returns a text to be logged as a warning, or None. 0 means that nobody could measure."""
        if self._limit is None or self._warn_at is None or resident_bytes <= 0:
            return None
        if resident_bytes < self._limit * RECOVERED:
            self._warn_at = self._limit
            self.note = ""
        if resident_bytes <= self._warn_at:
            return None
        self._warn_at = int(resident_bytes * GROWTH)
        self.note = (
            f"uses {_mib(resident_bytes)} of memory, and `resources.memory` in config.yaml says {_mib(self._limit)}"
        )
        return self.note


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB"
