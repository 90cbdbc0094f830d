"""What operators changed about the scaling of a deployment since it was created. Its config.yaml stays as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock_controller.scaling.config import ScalingSettings

REPLICAS_MAX = 10_000
CONCURRENCY_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingOverrides:
    """None leaves a value to config.yaml."""

    replicas: int | None = None
    """Exactly so many instead of scaling."""
    min_replica: int | None = None
    max_replica: int | None = None
    max_concurrency: int | None = None
    paused: bool = False


def effective(settings: ScalingSettings, overrides: ScalingOverrides) -> ScalingSettings:
    """Returns the settings in force. A bound that an operator set wins over the other bound of config.yaml."""
    least = settings.min_replica if overrides.min_replica is None else overrides.min_replica
    most = settings.max_replica if overrides.max_replica is None else overrides.max_replica
    if most < least:
        if overrides.max_replica is None:
            most = least
        else:
            least = most
    slots = settings.max_concurrency if overrides.max_concurrency is None else overrides.max_concurrency
    return replace(settings, min_replica=least, max_replica=max(1, most), max_concurrency=slots)


def overridden(settings: ScalingSettings, overrides: ScalingOverrides) -> list[str]:
    """Returns the keys whose value in force is not that of config.yaml."""
    in_force = effective(settings, overrides)
    keys = ("min_replica", "max_replica", "max_concurrency")
    return [key for key in keys if getattr(in_force, key) != getattr(settings, key)]


def check(overrides: ScalingOverrides) -> str | None:
    """Returns what is wrong with the values, with key, value and range; None when nothing is."""
    ranges = (
        ("replicas", overrides.replicas, 0, REPLICAS_MAX),
        ("min_replica", overrides.min_replica, 0, REPLICAS_MAX),
        ("max_replica", overrides.max_replica, 1, REPLICAS_MAX),
        ("max_concurrency", overrides.max_concurrency, 1, CONCURRENCY_MAX),
    )
    for key, value, low, high in ranges:
        if value is not None and not low <= value <= high:
            return f"{key}: must be {low} to {high:,}, got {value}"
    least, most = overrides.min_replica, overrides.max_replica
    if least is not None and most is not None and most < least:
        return f"max_replica: must not be below min_replica ({least}), got {most}"
    return None
