"""Which logs belong to a deployment or a replica, and in which order they are read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

BUILD = "build"
"""Origin of what the build of a deployment writes."""

ENDED_SHOWN = 3
"""Logs of ended replicas that are shown for a deployment: those that a row of crashes left last."""


LIVE_SHOWN = 50
"""Logs of live replicas that are shown for a deployment; those of the others are read one by one."""


def build_log_name(deployment_id: str) -> str:
    """Returns the name of the file. It cannot be that of a replica, which ends in five letters after a dash."""
    return f"build-{deployment_id}.log"


def shown_replicas(
    deployment_id: str, alive: Iterable[str], kept: Mapping[str, float], *, ended_shown: int = ENDED_SHOWN
) -> list[str]:
    """Returns the replicas whose logs are shown, in the order in which they are shown: ended ones, then live ones.

    Args:
        deployment_id: Whose.
        alive: Its live replicas.
        kept: Every log there is, by replica, with the time of the last write.
        ended_shown: At most so many ended ones.
    """
    live = sorted(alive)
    ended = [r for r in kept if r not in live and _owner(r) == deployment_id]
    ended.sort(key=lambda replica_id: (kept[replica_id], replica_id))
    return [*ended[max(0, len(ended) - ended_shown) :], *live[:LIVE_SHOWN]]


def owners(alive: Mapping[str, str], kept: Collection[str]) -> dict[str, str]:
    """Returns every replica that has a log or may get one, with its deployment."""
    return {**{replica_id: _owner(replica_id) for replica_id in kept}, **alive}


def _owner(replica_id: str) -> str:
    """Returns the deployment of a replica by its id (see identifiers.new_replica_id)."""
    return replica_id.rpartition("-")[0]
