"""Knative's pod autoscaler (facts: control_plane.md section 1.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.autoscaler import Look
from penstock_controller.simulate.baselines.baseline import Baseline, load_of
from penstock_controller.simulate.baselines.moving_mean import MovingMean
from penstock_controller.simulate.baselines.replica_count import replicas_for


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaSettings:
    """The defaults of Knative's config-autoscaler. Times in seconds."""

    target_utilization: float = 0.7
    """container-concurrency-target-percentage: share of the slots that is aimed at."""
    stable_window_s: float = 60.0
    panic_window_s: float = 6.0
    """10 % of the stable window."""
    panic_threshold: float = 2.0
    """200 %: wanted over ready replicas at which it panics."""
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    tick_s: float = 2.0
    scale_to_zero_grace_s: float = 30.0
    initial_scale: int = 1


def wanted(average_load: float, target_load: float, ready: int, settings: KpaSettings) -> int:
    """Replicas for an average load, within what may be added or taken at once. No ready replica counts as one."""
    ready = max(1, ready)
    least = math.floor(ready / settings.max_scale_down_rate)
    most = math.ceil(ready * settings.max_scale_up_rate)
    return min(max(replicas_for(average_load, target_load), least), most)


def is_panic(panic_load: float, target_load: float, ready: int, settings: KpaSettings) -> bool:
    """Whether the load of the panic window asks for so many replicas that they must come at once."""
    return replicas_for(panic_load, target_load) / max(1, ready) >= settings.panic_threshold


@dataclass(slots=True)
class Panic:
    """Whether it panics, and how far it has gone: while it panics nothing is taken away."""

    since: float | None = None
    """When the load was last above the threshold."""
    replicas: int = 0

    def follow(self, over: bool, stable: int, panic: int, now: float, settings: KpaSettings) -> int:
        """Returns the replicas wanted, of what the two windows ask for.

        Panic ends a whole stable window after the load was last above the threshold.
        """
        if over:
            self.since = now
        elif self.since is not None and now > self.since + settings.stable_window_s:
            self.since = None
            self.replicas = 0
        if self.since is None:
            return stable
        self.replicas = max(self.replicas, stable, panic)
        return self.replicas


class Kpa(Baseline):
    """Scales by the average of streams, open and waiting, per replica.

    In its favour: the metrics are exact and have no delay, and nothing but a scale-down ends a stream (its
    revision-wide request timeout of 300 s is left out).
    """

    name = "kpa"
    cuts_streams = True
    grace_s = 90.0
    """30 s for the endpoints to change, then at most 60 s for a connection that was upgraded."""

    def __init__(self, settings: ScalingSettings, kpa: KpaSettings | None = None) -> None:
        self._kpa = kpa or KpaSettings()
        super().__init__(settings, self._kpa.initial_scale)
        self._target_load = settings.max_concurrency * self._kpa.target_utilization
        self._load = MovingMean(self._kpa.stable_window_s)
        self._panic = Panic()
        self._zero_since: float | None = None
        self._next_tick = 0.0
        self._text = ""

    def look(self, observation: Observation, now: float) -> Look:
        self._load.record(now, load_of(observation))
        if self.target == 0 and observation.waiting_streams > 0:
            # The activator holds the first stream and tells at once.
            self.target = 1
        if now >= self._next_tick:
            self._next_tick = now + self._kpa.tick_s
            ready = sum(replica.state is ReplicaState.READY for replica in observation.replicas)
            self._tick(ready, now)
        return Look(target=self.target, rule=self.name, text=self._text, look_again_at=self._next_tick)

    def _tick(self, ready: int, now: float) -> None:
        stable = self._load.mean(now)
        panic = self._load.mean(now, self._kpa.panic_window_s)
        over = is_panic(panic, self._target_load, ready, self._kpa)
        stable_wish = wanted(stable, self._target_load, ready, self._kpa)
        panic_wish = wanted(panic, self._target_load, ready, self._kpa)
        wish = self._panic.follow(over, stable_wish, panic_wish, now, self._kpa)
        self.target = self._after_grace(self.within_limits(wish), now)
        self._text = f"{stable:.1f} streams in 60 s, {panic:.1f} in 6 s, at {self._target_load:g} per replica"

    def _after_grace(self, wish: int, now: float) -> int:
        """Keeps the last replica until nothing was wanted for a while."""
        if wish > 0:
            self._zero_since = None
            return wish
        if self._zero_since is None:
            self._zero_since = now
        return 0 if self.target == 0 or now >= self._zero_since + self._kpa.scale_to_zero_grace_s else 1
