"""The Horizontal Pod Autoscaler, v2, with one External metric of type AverageValue (facts: control_plane.md 1.7)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.autoscaler import Look
from penstock_controller.simulate.baselines.baseline import Baseline, load_of
from penstock_controller.simulate.baselines.replica_count import replicas_for


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSettings:
    """The defaults of Kubernetes. Times in seconds."""

    target_utilization: float = 0.7
    """Share of the slots that is aimed at. There is no default, the metric being the user's own: as Knative's, so that
    the two can be compared."""
    sync_s: float = 15.0
    tolerance: float = 0.1
    scale_down_stabilization_s: float = 300.0
    scale_up_pods: int = 4
    scale_up_percent: float = 100.0
    scale_down_percent: float = 100.0
    policy_period_s: float = 15.0


def recommended(load: float, target_load: float, replicas: int, tolerance: float) -> int:
    """Replicas for the load, unless that differs from what there is by less than the tolerance. With no replicas it
    does nothing."""
    if replicas == 0:
        return 0
    if abs(1.0 - load / (target_load * replicas)) <= tolerance:
        return replicas
    return replicas_for(load, target_load)


class Stabilization:
    """Replicas go only when every recommendation of the window asked for fewer."""

    def __init__(self, window_s: float, replicas: int, now: float) -> None:
        """Begins as if the present count had been recommended."""
        self._window_s = window_s
        self._recommendations: deque[tuple[float, int]] = deque([(now, replicas)])

    def follow(self, recommendation: int, replicas: int, now: float) -> int:
        """Returns the replicas to aim at: up at once, down to the most that was recommended in the window."""
        self._recommendations.append((now, recommendation))
        while self._recommendations[0][0] <= now - self._window_s:
            self._recommendations.popleft()
        return max(recommendation, min(replicas, max(count for _, count in self._recommendations)))


def limited(aim: int, replicas: int, added: int, removed: int, settings: HpaSettings) -> int:
    """Bounds a change by the policies of the direction; of two policies the one that allows more counts.

    `added` and `removed` are the changes of the period that is running.
    """
    if aim > replicas:
        before = replicas - added
        most = max(before + settings.scale_up_pods, replicas_for(before * (100 + settings.scale_up_percent), 100))
        return min(aim, max(most, replicas))
    before = replicas + removed
    least = int(before * (100 - settings.scale_down_percent) / 100)
    return max(aim, min(least, replicas))


class Hpa(Baseline):
    """Scales by streams, open and waiting, as one External metric.

    It cannot scale to zero, so one replica stays whatever `min_replica` says. In its favour: the metric is exact and
    has no delay, where an adapter would add 15 to 60 s.
    """

    name = "hpa"
    cuts_streams = True
    grace_s = 30.0
    """terminationGracePeriodSeconds of a pod, by default."""

    def __init__(self, settings: ScalingSettings, hpa: HpaSettings | None = None) -> None:
        self._hpa = hpa or HpaSettings()
        super().__init__(settings, 1)
        self._target_load = settings.max_concurrency * self._hpa.target_utilization
        self._stabilization = Stabilization(self._hpa.scale_down_stabilization_s, self.target, 0.0)
        self._changes: deque[tuple[float, int]] = deque()
        self._next_sync = self._hpa.sync_s
        self._text = ""

    def look(self, observation: Observation, now: float) -> Look:
        if now >= self._next_sync:
            self._next_sync = now + self._hpa.sync_s
            self._sync(load_of(observation), now)
        return Look(target=self.target, rule=self.name, text=self._text, look_again_at=self._next_sync)

    def _sync(self, load: int, now: float) -> None:
        while self._changes and self._changes[0][0] <= now - self._hpa.policy_period_s:
            self._changes.popleft()
        added = sum(change for _, change in self._changes if change > 0)
        removed = -sum(change for _, change in self._changes if change < 0)
        wish = recommended(load, self._target_load, self.target, self._hpa.tolerance)
        aim = self._stabilization.follow(wish, self.target, now)
        count = max(1, self.within_limits(limited(aim, self.target, added, removed, self._hpa)))
        if count != self.target:
            self._changes.append((now, count - self.target))
        self.target = count
        self._text = f"{load} streams at {self._target_load:g} per replica ask for {wish}"
