"""Small simulations: given streams, and an autoscaler that follows a script."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.decision import Victim
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.autoscaler import Autoscaler, Look, OurAutoscaler
from penstock_controller.simulate.distributions import Distribution
from penstock_controller.simulate.engine import simulate
from penstock_controller.simulate.recording import RunRecord
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.workload import RateChange, Streams


def constant(seconds: float) -> Distribution:
    return Distribution("const", (seconds,))


COLD_START = constant(10.0)


def streams(rows: Iterable[tuple[float, float]], horizon_s: float, changes: Sequence[RateChange] = ()) -> Streams:
    """Streams of (arrival, duration)."""
    ordered = sorted(rows)
    return Streams(array("d", (r[0] for r in ordered)), array("d", (r[1] for r in ordered)), horizon_s, tuple(changes))


class Scripted:
    """Follows a list of (time, target) and names no victims; `choose_victims` takes the fullest replicas.

    Args:
        script: targets from these moments on.
        cuts_streams: see Autoscaler.
    """

    name = "scripted"

    def __init__(
        self, script: Sequence[tuple[float, int]], *, cuts_streams: bool = False, grace_s: float = 0.0
    ) -> None:
        self.script = script
        self.cuts_streams = cuts_streams
        self.grace_s = grace_s
        self.looks: list[tuple[float, Observation]] = []
        self.went: list[str] = []
        self.cordoned: frozenset[str] = frozenset()
        self.victims: Callable[[Observation, float], tuple[Victim, ...]] = lambda observation, now: ()

    def look(self, observation: Observation, now: float) -> Look:
        self.looks.append((now, observation))
        target = [target for at, target in self.script if at <= now][-1] - len(self.went)
        again = next((at for at, _ in self.script if at > now), None)
        return Look(
            target=target,
            victims=self.victims(observation, now),
            cordoned=self.cordoned,
            rule="script",
            text="scripted",
            look_again_at=again,
        )

    def removed(self, replica_id: str) -> None:
        self.went.append(replica_id)

    def choose_victims(self, observation: Observation, count: int) -> Sequence[str]:
        fullest = sorted(observation.replicas, key=lambda one: (-one.active_streams, one.replica_id))
        return [one.replica_id for one in fullest[:count]]


def run_small(
    rows: Iterable[tuple[float, float]],
    *,
    horizon_s: float = 600.0,
    scaling: ScalingSettings | None = None,
    autoscaler: Autoscaler | None = None,
    cold_start: Distribution = COLD_START,
    **settings: Any,
) -> RunRecord:
    """Runs a simulation; ours scales when no autoscaler is given."""
    scaling = scaling or ScalingSettings(max_replica=5, max_concurrency=4, scale_down_delay_s=30.0)
    whole = SimulationSettings(scaling=scaling, cold_start=cold_start, **settings)
    return simulate(whole, streams(rows, horizon_s), autoscaler or OurAutoscaler(scaling))
