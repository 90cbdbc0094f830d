"""How a deployment may be scaled."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from penstock.placement import PlacementStrategy
from penstock.truss.settings import PenstockSettings


class Metric(StrEnum):
    """What the load of a deployment is."""

    STREAMS = "streams"
    """Open streams: long-lived, never moved, so replicas are added before the slots run out and go only when empty."""
    REQUESTS = "requests"
    """Requests in flight, averaged over a window (Baseten's formula for request/response models)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSettings:
    """Settings of one deployment: its config.yaml with what operators changed since. Names and defaults are Baseten's
    where Baseten has them (facts: control_plane.md section 1.1). Times in seconds."""

    min_replica: int = 0
    """Least replicas, 0 to 10,000."""
    max_replica: int = 1
    """Most replicas, 1 to 10,000, not below min_replica."""
    max_concurrency: int = 1000
    """Slots of one replica, 1 to 1,000,000."""
    metric: Metric = Metric.STREAMS
    scale_down_delay_s: float = 900.0
    """Time for which a replica must be idle (streams) or the load low (requests) before a replica goes, 0 to 3600."""
    scale_down_interval_s: float = 10.0
    """Shortest time between two removals; metric streams only."""
    autoscaling_window_s: float = 60.0
    """Averaging window, 10 to 3600; metric requests only."""
    target_utilization_percentage: float = 70.0
    """Wanted share of the slots in use, 1 to 100; metric requests only."""
    max_scale_down_rate: float = 50.0
    """Most of the excess that goes at once, in percent, 1 to 50; metric requests only."""
    buffer_slots: int = 0
    """Free slots that are kept ready beyond those that waiting streams need; metric streams only."""
    placement: PlacementStrategy = PlacementStrategy.SPREAD
    cordon_surplus: bool = False
    """The emptiest replica beyond what the streams need becomes the last choice, so that it empties."""


def settings_of(penstock: PenstockSettings) -> ScalingSettings:
    """Returns what a config.yaml says of scaling. The fields of both have the same names."""
    values = {field.name: getattr(penstock, field.name) for field in fields(ScalingSettings)}
    values["metric"] = Metric(penstock.metric)
    values["placement"] = PlacementStrategy(penstock.placement)
    return ScalingSettings(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingConfig:
    """What scaling may do with one deployment at this moment."""

    settings: ScalingSettings = ScalingSettings()
    manual_replicas: int | None = None
    """An operator asked for exactly so many."""
    paused: bool = False
    """The target stays as it is."""
    stopped: bool = False
    """An operator ended the replicas; none is started."""
    retired: bool = False
    """The deployment is being removed."""
    superseded: bool = False
    """No environment points to it any more: least replicas are 0, and idle ones go without a delay."""
    needed_by: str = ""
    """Streams that may still call it although it is superseded, for people: the last replica stays, and the delays."""
    wanted_soon: bool = False
    """A promotion waits for its first ready replica: least replicas are 1."""
    initial: bool = False
    """It was created or started a moment ago: its first target is at least 1, so that an author sees it load."""
