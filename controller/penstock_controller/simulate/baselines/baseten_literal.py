"""Baseten's rule for WebSockets as it is written (facts: control_plane.md section 1.2), without the guards of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.decision import Victim
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.autoscaler import Look
from penstock_controller.simulate.baselines.baseline import Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class BasetenLiteralSettings:
    """What the rule leaves open."""

    tick_s: float = 10.0
    """Time between two looks. Not documented."""


def adds_one(active: Sequence[int], waiting: int, max_concurrency: int) -> bool:
    """Whether every ready replica carries at least max_concurrency - 1 streams. `active` are their streams.

    Replicas that are starting are not asked for. Where none is ready, which the rule does not speak of, a stream that
    waits adds one.
    """
    if not active:
        return waiting > 0
    return all(streams >= max_concurrency - 1 for streams in active)


class BasetenLiteral(Baseline):
    """Adds by the rule at every tick, and removes one idle replica per tick.

    In its favour: a victim is asked whether it is still idle, so that no stream is cut, and goes only after
    `scale_down_delay`.
    """

    name = "baseten_literal"
    cuts_streams = False
    grace_s = 0.0

    def __init__(self, settings: ScalingSettings, literal: BasetenLiteralSettings | None = None) -> None:
        super().__init__(settings, 1)
        self._literal = literal or BasetenLiteralSettings()
        self._idle_since: dict[str, float] = {}
        self._next_tick = 0.0

    def look(self, observation: Observation, now: float) -> Look:
        ready = [replica for replica in observation.replicas if replica.state is ReplicaState.READY]
        idle = [replica.replica_id for replica in ready if replica.active_streams == 0]
        self._idle_since = {replica_id: self._idle_since.get(replica_id, now) for replica_id in idle}
        victims: tuple[Victim, ...] = ()
        from_zero = self.target == 0 and observation.waiting_streams > 0
        if now >= self._next_tick or from_zero:
            self._next_tick = now + self._literal.tick_s
            if not observation.removing:
                victims = self._idle_for_long(now)
            active = [replica.active_streams for replica in ready]
            if adds_one(active, observation.waiting_streams, self.settings.max_concurrency):
                self.target = self.within_limits(self.target + 1)
        return Look(target=self.target, victims=victims, rule=self.name, look_again_at=self._next_tick)

    def _idle_for_long(self, now: float) -> tuple[Victim, ...]:
        """The replica that has been idle for the longest, if that is long enough and one may go."""
        if self.target <= self.settings.min_replica or not self._idle_since:
            return ()
        since, replica_id = min((since, replica_id) for replica_id, since in self._idle_since.items())
        if now < since + self.settings.scale_down_delay_s:
            return ()
        return (Victim(replica_id, if_idle=True),)
