"""Asks idle replicas whether they may go: a compare-and-set at the runner, the only place that knows its slots.

named ──Drain{if_idle}──▶ asked ──accepted──▶ goes
                             ├──refused, gone, attached anew──▶ stays
                             └──no answer within ANSWER_S──▶ stays, and the drain is taken back
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from penstock_controller.registry import Registry
from penstock_controller.sessions import RunnerSessions

ANSWER_S = 30.0
"""Time for the answer. It comes from the loop of the model, which may be blocked; a late one is undone by the Undrain
that follows."""

log = structlog.get_logger("controller")


@dataclass(frozen=True, slots=True)
class Removal:
    """One replica that was asked whether it may go."""

    replica_id: str
    deployment_id: str
    drain_id: str
    session: int | None
    asked_at: float


class Removals:
    """All open questions. The caller acts on the answers."""

    def __init__(self, registry: Registry, sessions: RunnerSessions) -> None:
        self._registry = registry
        self._sessions = sessions
        self._by_replica: dict[str, Removal] = {}

    def has(self, deployment_id: str) -> bool:
        """Tells whether a replica of the deployment has been asked and has not answered."""
        return any(removal.deployment_id == deployment_id for removal in self._by_replica.values())

    def is_asked(self, replica_id: str) -> bool:
        """Tells whether the replica has been asked and has not answered."""
        return replica_id in self._by_replica

    def ask(self, replica_id: str, deployment_id: str, now: float) -> None:
        """Asks, unless the replica has been asked already or has no call open."""
        replica = self._registry.replica(replica_id)
        if replica is None or replica_id in self._by_replica:
            return
        drain_id = self._sessions.drain(replica_id, if_idle=True)
        if drain_id is not None:
            self._by_replica[replica_id] = Removal(replica_id, deployment_id, drain_id, replica.session, now)

    def answered(self, replica_id: str, drain_id: str, accepted: bool) -> Removal | None:
        """A runner has answered a drain. Returns the removal when it was ours and the replica goes."""
        removal = self._by_replica.get(replica_id)
        if removal is None or removal.drain_id != drain_id:
            return None
        del self._by_replica[replica_id]
        self._registry.touch(removal.deployment_id)
        return removal if accepted else None

    def expire(self, now: float) -> list[str]:
        """Gives up questions that nobody will answer. Returns the replicas that were asked."""
        given_up = []
        for removal in list(self._by_replica.values()):
            replica = self._registry.replica(removal.replica_id)
            # On another call the question was lost; if the runner has agreed, its state says so.
            lost = replica is None or replica.session != removal.session
            if not lost and now < removal.asked_at + ANSWER_S:
                continue
            del self._by_replica[removal.replica_id]
            given_up.append(removal.replica_id)
            self._registry.touch(removal.deployment_id)
            # One that was told to drain for another reason meanwhile must not be taken back.
            if not lost and replica is not None and not replica.drain_ordered:
                self._sessions.undrain(removal.replica_id)
                log.warning("removal_not_answered", replica=removal.replica_id, after_s=ANSWER_S)
        return given_up

    def deadlines(self) -> Iterable[float]:
        """When `expire` may next have something to do."""
        return [removal.asked_at + ANSWER_S for removal in self._by_replica.values()]
