"""Ray Serve's autoscaler (facts: control_plane.md section 1.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.observation import Observation, ReplicaObservation
from penstock_controller.simulate.autoscaler import Look
from penstock_controller.simulate.baselines.baseline import Baseline, load_of
from penstock_controller.simulate.baselines.moving_mean import MovingMean
from penstock_controller.simulate.baselines.replica_count import replicas_for


@dataclass(frozen=True, slots=True, kw_only=True)
class RayServeSettings:
    """The defaults of Ray Serve. Times in seconds."""

    ongoing_over_target: float = 1.35
    """max_ongoing_requests (our slots) over target_ongoing_requests. The advice is 1.2 to 1.5: the middle."""
    metrics_interval_s: float = 10.0
    look_back_s: float = 30.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    """Also for the step from one replica to none."""
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0


def desired(load: float, target_load: float, replicas: int, settings: RayServeSettings) -> int:
    """Replicas for the load, a factor of the way from what there is, rounded up.

    When rounding alone keeps a replica that the load does not need, one goes all the same. The last replica goes only
    when there was but one.
    """
    raw = load / target_load
    factor = settings.upscaling_factor if raw >= replicas else settings.downscaling_factor
    count = replicas_for(replicas + factor * (raw - replicas), 1.0)
    if count == replicas and replicas_for(raw, 1.0) < replicas:
        count -= 1
    return max(count, 1) if replicas > 1 else count


def first_to_stop(replicas: Iterable[ReplicaObservation]) -> list[ReplicaObservation]:
    """Sorts by the order in which Ray Serve stops replicas: those that do not run yet, then the newest. Open requests
    play no part; the ranks for nodes are equal on one machine."""
    return sorted(replicas, key=lambda one: (one.state is ReplicaState.READY, one.age_s, one.replica_id))


@dataclass(slots=True)
class Wish:
    """A change that must be wished for without a break before it is made."""

    direction: int = 0
    since: float = 0.0

    def follow(self, count: int, replicas: int, now: float) -> float:
        """Returns for how long a change in the direction of `count` has been wished for; 0 when none is."""
        direction = (count > replicas) - (count < replicas)
        if direction != self.direction:
            self.direction = direction
            self.since = now
        return now - self.since if direction else 0.0


class RayServe(Baseline):
    """Scales by the mean of ongoing and queued requests. A stream is one request for as long as it is open."""

    name = "ray_serve"
    cuts_streams = True
    grace_s = 20.0
    """graceful_shutdown_timeout_s."""

    def __init__(self, settings: ScalingSettings, ray: RayServeSettings | None = None) -> None:
        self._ray = ray or RayServeSettings()
        super().__init__(settings, settings.min_replica)
        self._target_load = settings.max_concurrency / self._ray.ongoing_over_target
        self._load = MovingMean(self._ray.look_back_s)
        self._seen = 0.0
        self._wish = Wish()
        self._next_metrics = 0.0

    def look(self, observation: Observation, now: float) -> Look:
        load = load_of(observation)
        self._load.record(now, load)
        if now >= self._next_metrics:
            self._next_metrics = now + self._ray.metrics_interval_s
            self._seen = self._load.mean(now)
        if self.target == 0 and load > 0:
            # A handle without replicas tells of its first request at once, and no delay applies.
            self._seen = max(self._seen, load)
            self.target = self.within_limits(max(1, desired(self._seen, self._target_load, 0, self._ray)))
        else:
            self._follow(now)
        again_at = self._next_metrics
        if self._wish.direction:
            again_at = min(again_at, max(now, self._wish.since + self._delay(self._wish.direction)))
        return Look(
            target=self.target,
            rule=self.name,
            text=f"{self._seen:.1f} requests in 30 s at {self._target_load:.3g} per replica",
            look_again_at=again_at,
        )

    def choose_victims(self, observation: Observation, count: int) -> Sequence[str]:
        return [replica.replica_id for replica in first_to_stop(observation.replicas)[:count]]

    def _delay(self, direction: int) -> float:
        return self._ray.upscale_delay_s if direction > 0 else self._ray.downscale_delay_s

    def _follow(self, now: float) -> None:
        count = self.within_limits(desired(self._seen, self._target_load, self.target, self._ray))
        wished_for_s = self._wish.follow(count, self.target, now)
        if self._wish.direction and wished_for_s >= self._delay(self._wish.direction):
            self.target = count
            self._wish = Wish()
