"""When the next replica of a place may be started after one has ended.

A place is one of the N seats of a deployment; its replicas come and go. Its state:

    EMPTY ──start──▶ OCCUPIED ──exit──▶ BACKING_OFF ──delay over, start──▶ OCCUPIED
                        ├──load failure──▶ FAILED ──delay over, start──▶ OCCUPIED
                        └──no free GPU──▶ WAITING_FOR_GPU ──delay over, start──▶ OCCUPIED
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

FIRST_DELAY_S = 0.1
"""Delay after the first exit of a replica that was loaded: a crash is usually not repeated, and streams wait."""

BASE_DELAY_S = 0.5
"""Delay after the first load failure and after the second exit in a row; doubles with each further one."""

DELAY_MAX_S = 30.0
"""Longest delay: a model that is repaired on disk comes back within this time."""

STABLE_AFTER_S = 60.0
"""A replica that lived for this long ends a row of failures."""

CRASH_LOOP_FAILURES = 3
"""Failures in a row from which a place counts as crash-looping: it is no capacity to come."""

GPU_LOOK_S = 2.0
"""Time between two attempts to find a free device. Nothing fails meanwhile, so it does not grow."""


class PlaceState(Enum):
    """What a place does."""

    EMPTY = "empty"
    OCCUPIED = "occupied"
    BACKING_OFF = "backing_off"
    FAILED = "failed"
    WAITING_FOR_GPU = "waiting_for_gpu"
    """Every device is in use; that is no failure."""


class ExitKind(Enum):
    """Why a replica ended."""

    CRASH = "crash"
    """The process ended although nobody asked for it."""
    LOAD_FAILURE = "load_failure"
    """The model could not be loaded (exit status 1)."""
    NO_FREE_GPU = "no_free_gpu"
    """It was not started, because every device is in use."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """Start history of one place. A value: every event gives a new one."""

    state: PlaceState = PlaceState.EMPTY
    starts: int = 0
    failures: int = 0
    """Exits in a row without a replica that lived for STABLE_AFTER_S."""
    started_at: float | None = None
    next_start_at: float | None = None
    """Monotonic seconds; None when the place may start at once or is occupied."""
    message: str = ""
    """Why the last replica ended. Kept until one is ready again."""

    @property
    def restarts(self) -> int:
        """Starts after the first."""
        return max(0, self.starts - 1)

    def is_crash_looping(self, now: float) -> bool:
        """Tells whether it fails again and again, and its present replica has not proved otherwise."""
        if self.failures < CRASH_LOOP_FAILURES or self.state is PlaceState.WAITING_FOR_GPU:
            return False
        return self.started_at is None or now - self.started_at < STABLE_AFTER_S

    @property
    def is_failing(self) -> bool:
        """Its last replica failed, and none has been ready since; to wait for a GPU is no failure."""
        return bool(self.message) and self.failures > 0 and self.state is not PlaceState.WAITING_FOR_GPU

    def may_start(self, now: float) -> bool:
        return self.state is not PlaceState.OCCUPIED and (self.next_start_at is None or now >= self.next_start_at)

    def started(self, now: float) -> Restarts:
        return replace(self, state=PlaceState.OCCUPIED, starts=self.starts + 1, started_at=now, next_start_at=None)

    def adopted(self, now: float) -> Restarts:
        """The place's replica was started by an earlier controller and is alive."""
        return replace(self, state=PlaceState.OCCUPIED, starts=max(1, self.starts), started_at=now, next_start_at=None)

    def ready(self) -> Restarts:
        return replace(self, message="") if self.message else self

    def exited(self, kind: ExitKind, message: str, now: float) -> Restarts:
        """The replica has ended, or could not be started, although it is wanted."""
        if kind is ExitKind.NO_FREE_GPU:
            return replace(
                self,
                state=PlaceState.WAITING_FOR_GPU,
                starts=max(0, self.starts - 1),
                started_at=None,
                next_start_at=now + delay_after(kind, self.failures),
                message=message,
            )
        lived = 0.0 if self.started_at is None else now - self.started_at
        failures = 1 if lived >= STABLE_AFTER_S else self.failures + 1
        return replace(
            self,
            state=PlaceState.FAILED if kind is ExitKind.LOAD_FAILURE else PlaceState.BACKING_OFF,
            failures=failures,
            started_at=None,
            next_start_at=now + delay_after(kind, failures),
            message=message,
        )

    def vacated(self) -> Restarts:
        """The replica ended while no controller was watching; why is not known, and the next may start at once."""
        return replace(self, state=PlaceState.EMPTY, started_at=None, next_start_at=None)

    def released(self) -> Restarts:
        """The replica left on purpose; the next one may start at once."""
        return replace(self, state=PlaceState.EMPTY, starts=0, failures=0, started_at=None, next_start_at=None)


def delay_after(kind: ExitKind, failures: int) -> float:
    """Seconds until the next start after the `failures`-th failure in a row (from 1)."""
    if kind is ExitKind.NO_FREE_GPU:
        return GPU_LOOK_S
    if kind is ExitKind.CRASH:
        if failures <= 1:
            return FIRST_DELAY_S
        failures -= 1
    # 2 ** 16 is far above the longest delay; without the bound a long row of failures overflows the float.
    return float(min(DELAY_MAX_S, BASE_DELAY_S * 2.0 ** min(failures - 1, 16)))
