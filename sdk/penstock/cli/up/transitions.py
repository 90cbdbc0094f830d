"""What happened between two observations, in words, once everything was ready."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.cli.up.observation import Observation, Phase, Replica


def describe_transitions(before: Observation, after: Observation, names: Mapping[str, str]) -> tuple[str, ...]:
    """Returns a line per replica that changed; `names` maps deployment ids to names."""
    old = {replica.replica_id: replica for replica in before.replicas}
    new = {replica.replica_id: replica for replica in after.replicas}
    lines = [
        line for replica in after.replicas if (line := _change(old.get(replica.replica_id), replica, names)) is not None
    ]
    if after.epoch == before.epoch:
        # A controller that has just restarted does not yet know every replica: absence says nothing then.
        lines += [
            f"{label(replica, names)}: ended"
            for replica in before.replicas
            if replica.replica_id not in new and replica.phase not in (Phase.FAILED, Phase.LOST)
        ]
    return tuple(lines)


def label(replica: Replica, names: Mapping[str, str]) -> str:
    """Names a replica for people: "echo/x5d2a"."""
    return f"{names.get(replica.deployment_id, replica.deployment_id)}/{replica.short_id}"


def _change(old: Replica | None, new: Replica, names: Mapping[str, str]) -> str | None:
    if old is not None and old.phase is new.phase:
        return None
    who = label(new, names)
    reason = f": {new.message}" if new.message else ""
    match new.phase:
        case Phase.READY:
            return f"{who}: ready{reason}"
        case Phase.FAILED:
            return f"{who}: failed{reason}"
        case Phase.LOST:
            return f"{who}: lost{reason}"
        case Phase.STARTING:
            return f"{who}: starting"
        case Phase.DRAINING:
            return f"{who}: draining"
