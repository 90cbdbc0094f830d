"""`runtime.health_checks` of config.yaml (truss.md section 2.7)."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.truss.section import Section

STARTUP_DEFAULT_S = 1800.0
"""Time to load a model (truss.md section 2.1)."""
THRESHOLD_MIN_S = 10
THRESHOLD_MAX_S = 3000


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """Times after which something is done about a replica that is not healthy, in seconds."""

    startup_threshold_s: float = STARTUP_DEFAULT_S
    """Time for import, __init__ and load together, 10 to 3000."""
    restart_threshold_s: float | None = None
    """Time of bad health after which a replica is replaced, 10 to 3000; None when the file does not say."""
    stop_traffic_threshold_s: float | None = None
    """Time of bad health after which a replica gets no new work, 10 to 3000; None when the file does not say."""


def read_health_checks(section: Section) -> HealthChecks:
    """Reads the section `runtime.health_checks`."""
    startup = _threshold(section, "startup_threshold_seconds")
    checks = HealthChecks(
        startup_threshold_s=STARTUP_DEFAULT_S if startup is None else startup,
        restart_threshold_s=_threshold(section, "restart_threshold_seconds"),
        stop_traffic_threshold_s=_threshold(section, "stop_traffic_threshold_seconds"),
    )
    if _threshold(section, "restart_check_delay_seconds", low=0) is not None:
        section.warn("restart_check_delay_seconds", "not used: it is deprecated; write startup_threshold_seconds")
    section.warn_unknown()
    return checks


def _threshold(section: Section, key: str, *, low: float = THRESHOLD_MIN_S) -> float | None:
    return section.seconds(key, None, low=low, high=THRESHOLD_MAX_S)
