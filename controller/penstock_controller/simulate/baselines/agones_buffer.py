"""Agones' buffer policy, with slots as what is kept free (facts: control_plane.md section 1.8)."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.decision import Victim
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.autoscaler import Look
from penstock_controller.simulate.baselines.baseline import Baseline, load_of
from penstock_controller.simulate.baselines.replica_count import replicas_for
from penstock_controller.simulate.baselines.replica_set import first_to_end


@dataclass(frozen=True, slots=True, kw_only=True)
class AgonesBufferSettings:
    """Agones has no default for the buffer."""

    buffer_percent: float = 20.0
    """Share of all slots, those to come included, that is to be free; below 100."""
    sync_s: float = 30.0


def slots_wanted(allocated: float, buffer_percent: float) -> float:
    """Slots of which `buffer_percent` are free once `allocated` are taken."""
    return allocated * 100.0 / (100.0 - buffer_percent)


class AgonesBuffer(Baseline):
    """Keeps a share of the slots free. A replica with a stream counts as allocated and is never chosen to go.

    Agones would also pack streams onto the fullest replica; here placement is that of the settings, for all alike.
    """

    name = "agones_buffer"
    cuts_streams = False
    grace_s = 0.0

    def __init__(self, settings: ScalingSettings, agones: AgonesBufferSettings | None = None) -> None:
        super().__init__(settings, 1)
        self._agones = agones or AgonesBufferSettings()
        self._next_sync = 0.0

    def look(self, observation: Observation, now: float) -> Look:
        victims: tuple[Victim, ...] = ()
        from_zero = self.target == 0 and observation.waiting_streams > 0
        if now >= self._next_sync or from_zero:
            self._next_sync = now + self._agones.sync_s
            slots = slots_wanted(load_of(observation), self._agones.buffer_percent)
            wish = self.within_limits(replicas_for(slots, self.settings.max_concurrency))
            if wish >= self.target:
                self.target = wish
            elif not observation.removing:
                victims = tuple(
                    Victim(replica.replica_id, if_idle=True)
                    for replica in first_to_end(observation.replicas)
                    if replica.state is ReplicaState.READY and replica.active_streams == 0
                )[: self.target - wish]
        return Look(target=self.target, victims=victims, rule=self.name, look_again_at=self._next_sync)
