"""A deployment at the moment of a look: what is asked for, what is there, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from penstock_controller.scaling.admissions import admitted, with_streams
from penstock_controller.scaling.census import Census, count
from penstock_controller.scaling.config import Metric, ScalingConfig, ScalingSettings
from penstock_controller.scaling.decision import Decision, PolicyState, Reason, Victim
from penstock_controller.scaling.load_window import with_load
from penstock_controller.scaling.observation import Observation
from penstock_controller.scaling.trend import STARTUPS_MAX, startup_s, window_s, with_level
from penstock_controller.scaling.wording import amount, seconds_left, verb


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that the rules look at."""

    config: ScalingConfig
    observation: Observation
    now: float
    state: PolicyState
    """What is remembered, brought up to this moment; its target is still that of the last look."""
    census: Census
    places: int
    """Replicas that scaling starts from: the target, or those that keep a place when they are more."""
    coming: int
    """Places whose replica is not ready yet and does not fail again and again."""
    minimum: int
    maximum: int
    floor: str
    """The rule that asks for the minimum."""

    @property
    def settings(self) -> ScalingSettings:
        return self.config.settings

    @property
    def winding_down(self) -> bool:
        """Nothing leads here any more: what is idle goes at once, and no spare is kept."""
        return self.config.superseded and not self.config.wanted_soon and not self.config.needed_by

    @property
    def vacant(self) -> int:
        """Places without a replica, those that the caller has not made yet included."""
        return self.places - self.census.present

    @property
    def crash_looping(self) -> int:
        return min(self.observation.crash_looping, self.places)

    @property
    def droppable_vacancies(self) -> int:
        """Vacant places that can be given up without losing capacity: no replica there is about to be ready."""
        return self.vacant if self.winding_down else min(self.vacant, self.crash_looping)

    @property
    def healthy_min(self) -> int:
        """Least replicas without the unhealthy ones, which the minimum allows for."""
        return max(0, self.minimum - self.census.unhealthy)

    @property
    def ready_min(self) -> int:
        """Ready replicas that must be left by a removal: the minimum, and the last one while others are starting."""
        return max(self.healthy_min, 1 if self.coming and not self.winding_down else 0)

    def hindrance(self) -> str:
        """What forbids any removal at this moment. Empty when nothing does."""
        if self.observation.recovering:
            return "the controller has restarted and has not heard of every replica yet"
        if self.observation.removing:
            return "a removal is under way"
        if self.observation.waiting_streams > 0:
            return waits(self)
        return ""

    def drains(self, victims: tuple[Victim, ...]) -> tuple[Victim, ...]:
        """Nothing is ended before every replica had the time to come back from a restart of the controller."""
        return () if self.observation.recovering else victims

    def failures(self) -> str:
        """Says that replicas fail again and again. Empty when none does."""
        failing = self.crash_looping
        if not failing:
            return ""
        return f"{failing} of {amount(self.places, 'replica')} {verb(failing, 'fails', 'fail')} again and again"

    def beyond(self, wanted: int) -> str:
        """Says that the load asks for more than is allowed. Empty when it does not."""
        if wanted <= self.maximum:
            return ""
        return f"its load asks for {amount(wanted, 'replica')}, max_replica is {self.maximum}"

    def decision(
        self,
        target: int,
        rule: str,
        text: str,
        *,
        victims: tuple[Victim, ...] = (),
        blocked: Iterable[str] = (),
        cordoned: frozenset[str] = frozenset(),
        inputs: Mapping[str, float] | None = None,
        again_at: float | None = None,
        state: PolicyState | None = None,
    ) -> Decision:
        """Builds the outcome. `state` is what to remember besides target and cordoned ones."""
        return Decision(
            state=replace(state or self.state, target=target, cordoned=cordoned),
            target=target,
            victims=victims,
            cordoned=cordoned,
            reason=Reason(rule, text, "; ".join(filter(None, blocked))),
            inputs={**self._inputs(), **(inputs or {})},
            evaluate_again_at=again_at,
        )

    def _inputs(self) -> dict[str, float]:
        census = self.census
        return {
            "target_before": self.state.target,
            "min_replica": self.minimum,
            "max_replica": self.maximum,
            "ready_replicas": census.ready,
            "suspect_replicas": census.ready - census.heard,
            "starting_replicas": len(census.starting),
            "vacant_places": self.vacant,
            "crash_looping_replicas": self.crash_looping,
            "idle_replicas": len(census.idle_since),
            "active_streams": census.active_streams,
            "waiting_streams": self.observation.waiting_streams,
            "free_slots": census.free_slots,
            "slots_per_replica": self.settings.max_concurrency,
        }


def survey(config: ScalingConfig, state: PolicyState, observation: Observation, now: float) -> Situation:
    """Looks at a deployment, and brings what is remembered up to now."""
    settings = config.settings
    slots = max(1, settings.max_concurrency)
    census = count(observation, slots, now, idle_since=state.idle_since, starting=state.starting)
    places = max(state.target, census.present)
    minimum, floor = _floor(config, places)
    maximum = max(0, settings.max_replica)
    return Situation(
        config=config,
        observation=observation,
        now=now,
        state=_remembered(settings, state, observation, census, now),
        census=census,
        places=places,
        coming=max(0, places - census.ready - census.unhealthy - observation.crash_looping),
        # An unhealthy one does not count towards the least, so another one is started while that is allowed.
        minimum=min(minimum + census.unhealthy if minimum else 0, maximum),
        maximum=maximum,
        floor=floor,
    )


def waits(situation: Situation) -> str:
    """Says how many streams wait."""
    waiting = situation.observation.waiting_streams
    return f"{amount(waiting, 'stream')} {verb(waiting, 'waits', 'wait')}"


def next_removal(due_at: float, now: float) -> str:
    """Says that a delay is not over."""
    return f"next removal possible in {seconds_left(due_at, now)}"


def _floor(config: ScalingConfig, places: int) -> tuple[int, str]:
    minimum = 0 if config.superseded else max(0, config.settings.min_replica)
    if minimum == 0 and config.wanted_soon:
        return 1, "promotion"
    if minimum == 0 and config.initial:
        return 1, "initial"
    if minimum == 0 and config.needed_by:
        # Without a replica it starts one for a stream that calls it, as any other.
        return min(1, places), "needed"
    return minimum, "min_replica"


def _remembered(
    settings: ScalingSettings, state: PolicyState, observation: Observation, census: Census, now: float
) -> PolicyState:
    failing_since = state.failing_since
    if observation.crash_looping <= 0:
        failing_since = None
    elif failing_since is None:
        failing_since = now
    state = replace(
        state,
        idle_since={**census.idle_since, **census.unhealthy_idle_since},
        failing_since=failing_since,
        starting=census.starting,
        startups=(*state.startups, *census.startups)[-STARTUPS_MAX:],
    )
    active, waiting = census.active_streams, observation.waiting_streams
    if settings.metric is Metric.REQUESTS:
        samples = with_load(state.samples, float(active + waiting), settings.autoscaling_window_s, now)
        return replace(state, samples=samples, admissions=(), levels=())
    admissions = with_streams(state.admissions, active, now)
    streams = active + max(0, waiting - admitted(admissions, active))
    # Replicas that are heard of again after a restart of the controller bring streams that are not new.
    before = () if observation.recovering else state.levels
    levels = with_level(before, streams, window_s(startup_s(state.startups)), now)
    return replace(state, samples=(), admissions=admissions, levels=levels)
