"""Slots of a replica: the only place where a stream is given one, so more than `capacity` can never be admitted."""

from __future__ import annotations

from penstock.close_codes import EndCode


class Slots:
    """Counts and the admission rule. Pure; not thread-safe: all calls come from the loop thread.

    `active`, `capacity`, `admitted_total` and `refused_total` may be read from any thread.
    """

    __slots__ = ("active", "admitted_total", "capacity", "is_draining", "is_healthy", "is_ready", "refused_total")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self.active = 0
        """Slots that are held. Above `capacity` only after the capacity was lowered."""
        self.admitted_total = 0
        self.refused_total = 0
        self.is_ready = False
        """The model is loaded."""
        self.is_draining = False
        self.is_healthy = True
        """The model's own health check does not stop admission."""

    def acquire(self) -> EndCode | None:
        """Takes a slot. Returns None, or why there is none."""
        refusal = self._refusal()
        if refusal is None:
            self.active += 1
            self.admitted_total += 1
        else:
            self.refused_total += 1
        return refusal

    def _refusal(self) -> EndCode | None:
        if not self.is_ready or not self.is_healthy:
            return EndCode.REPLICA_NOT_READY
        if self.is_draining:
            return EndCode.REPLICA_DRAINING
        if self.active >= self.capacity:
            return EndCode.REPLICA_FULL
        return None

    def release(self) -> None:
        """Gives a slot back."""
        assert self.active > 0
        self.active -= 1

    def begin_drain(self, *, if_idle: bool) -> bool:
        """Stops admission. With `if_idle` only when no slot is held; returns whether it drains now."""
        if if_idle and self.active > 0:
            return False
        self.is_draining = True
        return True

    def end_drain(self) -> None:
        """Admits again."""
        self.is_draining = False
