"""What the autoscalers of other systems have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.autoscaler import Look
from penstock_controller.simulate.baselines.replica_set import first_to_end


class Baseline(ABC):
    """An autoscaler with a target of its own, which it changes at moments of its own."""

    name: ClassVar[str]
    cuts_streams: ClassVar[bool]
    grace_s: ClassVar[float]

    def __init__(self, settings: ScalingSettings, initial: int) -> None:
        """`initial` is the first target, before the limits."""
        self.settings = settings
        self.target = self.within_limits(initial)

    @abstractmethod
    def look(self, observation: Observation, now: float) -> Look:
        """See Autoscaler."""

    def removed(self, replica_id: str) -> None:
        """See Autoscaler."""
        del replica_id
        self.target -= 1

    def choose_victims(self, observation: Observation, count: int) -> Sequence[str]:
        """See Autoscaler. The order of a Kubernetes ReplicaSet."""
        return [replica.replica_id for replica in first_to_end(observation.replicas)[:count]]

    def within_limits(self, count: int) -> int:
        """Bounds a count by the settings."""
        return min(max(count, self.settings.min_replica), self.settings.max_replica)


def load_of(observation: Observation) -> int:
    """Streams that are open on replicas which stay, and those that wait."""
    return sum(replica.active_streams for replica in observation.replicas) + observation.waiting_streams
