"""Which pods a Kubernetes ReplicaSet ends when it shrinks (facts: control_plane.md section 2.1)."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.observation import ReplicaObservation


def first_to_end(replicas: Iterable[ReplicaObservation]) -> list[ReplicaObservation]:
    """Sorts by the order in which a ReplicaSet ends its pods: not ready before ready, then the one that was ready for
    the shortest time. Open streams play no part.

    The ranks for node, deletion cost and restarts are equal here: the simulated machine is one node and nobody sets a
    cost, which is how the three systems that scale through a ReplicaSet leave it.
    """
    return sorted(replicas, key=lambda one: (one.state is ReplicaState.READY, one.age_s, one.replica_id))
