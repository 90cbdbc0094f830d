"""What the answers of `is_healthy` mean for a replica (truss.md section 2.7). Pure: others ask and bring the time.

healthy ──fails──▶ failing ──for stop_traffic_s──▶ out of traffic
   ▲                  │          └──for restart_s──▶ to be restarted
   └──────answers─────┴─────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock.truss.health_checks import HealthChecks

THRESHOLD_DEFAULT_S = 1800.0
"""Both thresholds where config.yaml has none (truss.md section 2.7)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthThresholds:
    """How long checks must fail in a row, in seconds, until something is done."""

    stop_traffic_s: float = THRESHOLD_DEFAULT_S
    restart_s: float = THRESHOLD_DEFAULT_S

    @classmethod
    def of(cls, checks: HealthChecks) -> HealthThresholds:
        """Returns what config.yaml says."""
        return cls(
            stop_traffic_s=checks.stop_traffic_threshold_s or THRESHOLD_DEFAULT_S,
            restart_s=checks.restart_threshold_s or THRESHOLD_DEFAULT_S,
        )


@dataclass(frozen=True, slots=True)
class HealthEffects:
    """What is to be done now."""

    traffic: bool | None = None
    """Whether new calls are admitted from now on; None leaves it as it is."""
    restart_reason: str | None = None
    """Why the replica is to be replaced; None leaves it."""


class Health:
    """The health of one replica."""

    def __init__(self, thresholds: HealthThresholds) -> None:
        self._thresholds = thresholds
        self._failing_since: float | None = None
        self._is_out_of_traffic = False
        self._is_restart_due = False

    @property
    def is_failing(self) -> bool:
        """Whether the last check has failed."""
        return self._failing_since is not None

    @property
    def has_traffic(self) -> bool:
        """Whether new calls are admitted."""
        return not self._is_out_of_traffic

    def observe(self, is_healthy: bool, now: float) -> HealthEffects:
        """Takes the answer of a check that ended at `now`."""
        if is_healthy:
            was_out, self._is_out_of_traffic, self._failing_since = self._is_out_of_traffic, False, None
            self._is_restart_due = False
            return HealthEffects(traffic=True if was_out else None)
        if self._failing_since is None:
            self._failing_since = now
        failing_s = now - self._failing_since
        traffic = None
        if failing_s >= self._thresholds.stop_traffic_s and not self._is_out_of_traffic:
            self._is_out_of_traffic, traffic = True, False
        reason = None
        if failing_s >= self._thresholds.restart_s and not self._is_restart_due:
            self._is_restart_due = True
            reason = (
                f"`is_healthy` has failed for {failing_s:.0f} s, and "
                f"`runtime.health_checks.restart_threshold_seconds` is {self._thresholds.restart_s:g}"
            )
        return HealthEffects(traffic, reason)

    @property
    def note(self) -> str:
        """The state in a few words for operators, "" when all is well. It does not change with time."""
        if self._failing_since is None:
            return ""
        return f"`is_healthy` fails; {'admits no new calls' if self._is_out_of_traffic else 'still admits calls'}"
