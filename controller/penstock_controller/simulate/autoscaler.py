"""What chooses the number of replicas in a simulation: ours, or that of another system."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from penstock_controller.scaling.config import ScalingConfig, ScalingSettings
from penstock_controller.scaling.decision import PolicyState, Victim
from penstock_controller.scaling.observation import Observation
from penstock_controller.scaling.policy import decide


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What an autoscaler wants at one moment."""

    target: int
    """Replicas wanted, within the limits of the settings. Victims with `if_idle` still count."""
    victims: tuple[Victim, ...] = ()
    """Replicas that are to go. `choose_victims` is asked when none is named and there are more places than `target`."""
    cordoned: frozenset[str] = frozenset()
    """Replicas that are the last choice for new streams."""
    rule: str = ""
    text: str = ""
    blocked: str = ""
    inputs: Mapping[str, float] = field(default_factory=dict)
    look_again_at: float | None = None
    """Simulated seconds by which to look again even when nothing changes."""


class Autoscaler(Protocol):
    """One instance serves one run. It is looked at whenever what it observes has changed (gathered for 50 ms) and at
    `look_again_at`; one that acts on a fixed tick returns its last target between two ticks.
    """

    @property
    def name(self) -> str:
        """For tables: short, lower case."""

    @property
    def cuts_streams(self) -> bool:
        """Whether a victim that was not asked `if_idle` ends `grace_s` after it was chosen, whatever it carries.
        Otherwise it ends when its last stream does."""

    @property
    def grace_s(self) -> float:
        """See `cuts_streams`."""

    def look(self, observation: Observation, now: float) -> Look:
        """Decides. `now` is in simulated seconds and never goes back; it begins at 0."""

    def removed(self, replica_id: str) -> None:
        """A victim with `if_idle` has agreed and gives its place up: the target is one less from now on."""

    def choose_victims(self, observation: Observation, count: int) -> Sequence[str]:
        """Returns `count` replicas to end, in this system's documented order. Called after a look without victims whose
        target is below the number of places; places without a replica are given up first."""


AutoscalerFactory = Callable[[ScalingSettings], Autoscaler]
"""Makes the autoscaler of one run."""


class OurAutoscaler:
    """The policy that runs in production."""

    name = "penstock"
    cuts_streams = False
    grace_s = 0.0

    def __init__(self, settings: ScalingSettings) -> None:
        self._config = ScalingConfig(settings=settings, initial=True)
        self._state = PolicyState()

    def look(self, observation: Observation, now: float) -> Look:
        decision = decide(self._config, self._state, observation, now)
        if self._config.initial:
            # As in production: it holds for the first decision after a deployment was created.
            self._config = replace(self._config, initial=False)
        self._state = decision.state
        return Look(
            target=decision.target,
            victims=decision.victims,
            cordoned=decision.cordoned,
            rule=decision.reason.rule,
            text=decision.reason.text,
            blocked=decision.reason.blocked,
            inputs=decision.inputs,
            look_again_at=decision.evaluate_again_at,
        )

    def removed(self, replica_id: str) -> None:
        del replica_id
        self._state = replace(self._state, target=max(0, self._state.target - 1))

    def choose_victims(self, observation: Observation, count: int) -> Sequence[str]:
        # `decide` names every victim itself, and a replica that it does not name stays.
        del observation, count
        return ()
