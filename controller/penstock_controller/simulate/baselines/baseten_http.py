"""Baseten's formula for requests, applied to streams (facts: control_plane.md section 1.1)."""

from __future__ import annotations

import math

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.autoscaler import Look
from penstock_controller.simulate.baselines.baseline import Baseline, load_of
from penstock_controller.simulate.baselines.moving_mean import MovingMean
from penstock_controller.simulate.baselines.replica_count import replicas_for


def desired(average_in_flight: float, concurrency_target: int, utilization_percentage: float) -> int:
    """Replicas for an average load at the wanted share of their slots."""
    return replicas_for(average_in_flight * 100.0, concurrency_target * utilization_percentage)


def next_step_down(replicas: int, wish: int, rate_percentage: float) -> int:
    """Replicas after one step towards a smaller `wish`: the given share of the excess goes, at least one replica."""
    excess = replicas - wish
    return replicas - max(1, math.floor(excess * rate_percentage / 100.0))


class BasetenHttp(Baseline):
    """Decides once per window: up at once, down by half of the excess after each delay.

    How a replica that is to go treats its requests is not documented. In its favour: they may end by themselves,
    however long that takes, and nothing is cut.
    """

    name = "baseten_http"
    cuts_streams = False
    grace_s = 0.0

    def __init__(self, settings: ScalingSettings) -> None:
        super().__init__(settings, 1)
        self._load = MovingMean(settings.autoscaling_window_s)
        self._low_since: float | None = None
        self._next_decision = settings.autoscaling_window_s

    def look(self, observation: Observation, now: float) -> Look:
        self._load.record(now, load_of(observation))
        if self.target == 0 and observation.waiting_streams > 0:
            self.target = self.within_limits(1)
        if now >= self._next_decision:
            self._next_decision = now + self.settings.autoscaling_window_s
            self._decide(now)
        return Look(target=self.target, rule=self.name, look_again_at=self._next_decision)

    def _decide(self, now: float) -> None:
        settings = self.settings
        average = self._load.mean(now)
        wish = self.within_limits(desired(average, settings.max_concurrency, settings.target_utilization_percentage))
        if wish >= self.target:
            self.target = wish
            self._low_since = None
        elif self._low_since is None:
            self._low_since = now
        if self._low_since is not None and now >= self._low_since + settings.scale_down_delay_s:
            self.target = next_step_down(self.target, wish, settings.max_scale_down_rate)
            self._low_since = now if self.target > wish else None
