"""Which replicas go when an operator wants fewer than there are, whatever their load."""

from __future__ import annotations

from collections.abc import Sequence

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.decision import Victim
from penstock_controller.scaling.observation import ReplicaObservation

_RANKS = {ReplicaState.READY: 2, ReplicaState.STARTING: 1}


def drained(replicas: Sequence[ReplicaObservation], keep: int) -> tuple[Victim, ...]:
    """Chooses all but `keep`. They are drained, so none loses a stream."""
    if len(replicas) <= keep:
        return ()
    chosen = sorted(replicas, key=_removal_order)[: len(replicas) - keep]
    return tuple(Victim(replica.replica_id, if_idle=False) for replica in chosen)


def _removal_order(replica: ReplicaObservation) -> tuple[int, int, float, str]:
    # What serves nobody goes first: what has failed or leaves anyway, then what loads (the youngest first, it has most
    # of its load before it), then what has the fewest streams.
    rank = 0 if replica.unhealthy else _RANKS.get(replica.state, 0)
    return rank, replica.active_streams, replica.age_s, replica.replica_id
