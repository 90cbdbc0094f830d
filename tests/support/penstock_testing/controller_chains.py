"""Chains for tests of the controller: versions that were not read from any directory, and replicas of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock_controller.chains.preparing import PreparedChain
from penstock_controller.identifiers import chainlet_name
from penstock_controller.records import ChainPlace, ReplicaState
from penstock_controller.sessions import RunnerSession
from penstock_testing.controller_parts import ControllerParts, deployment, report

VOICE: Mapping[str, Sequence[str]] = {"Talk": ["Hear", "Think"], "Hear": [], "Think": ["Look"], "Look": []}
"""Who calls whom; the first one is the entrypoint."""


def version(
    number: int = 1,
    calls: Mapping[str, Sequence[str]] = VOICE,
    *,
    chain: str = "voice",
    environment: str = "",
    **changes: object,
) -> PreparedChain:
    """A version of a chain whose chainlets are scaled by load; ids end in its number."""
    chain_id, first = f"{chain}-{number}", next(iter(calls))
    members = []
    for chainlet, dependencies in calls.items():
        name = chainlet_name(chain, chainlet, is_entrypoint=chainlet == first)
        place = ChainPlace(chain, chain_id, chainlet, chainlet == first, tuple(dependencies))
        environments = (environment,) if environment else ()
        own = {"environments": environments, "chain": place, "artifact": f"{number:064x}", **changes}
        members.append(deployment(f"{name}-{number}", None, **own))
    return PreparedChain(chain, chain_id, tuple(members))


class ChainReplicas:
    """The runners of all chainlets: each attaches when the test says so."""

    def __init__(self, parts: ControllerParts) -> None:
        self._parts = parts
        self.sessions: dict[str, RunnerSession] = {}
        self._sequences: dict[str, int] = {}

    def of(self, deployment_id: str) -> list[str]:
        """The replicas of a deployment whose processes live."""
        return [r for r, p in self._parts.actuator.running.items() if p.deployment_id == deployment_id]

    async def serve(self, *deployment_ids: str) -> None:
        """Waits for the first replica of each, and lets it be ready."""
        for deployment_id in deployment_ids:
            await self._parts.until(lambda own=deployment_id: bool(self.of(own)))  # type: ignore[misc]  # a lambda
            replica_id = self.of(deployment_id)[0]
            if replica_id not in self.sessions:
                self.sessions[replica_id] = self._parts.attach(replica_id)
        await self._parts.settle()

    async def tell(self, deployment_id: str, active: int, state: ReplicaState = ReplicaState.READY) -> None:
        """The replica of a deployment has so many streams open."""
        (replica_id,) = self.of(deployment_id)
        self._sequences[replica_id] = self._sequences.get(replica_id, 1) + 1
        told = report(self._sequences[replica_id], state, active=active)
        self._parts.reconciler.report(replica_id, self.sessions[replica_id], told)
        await self._parts.settle()

    async def agree_to_go(self, deployment_id: str) -> None:
        """The replica of a deployment that is asked whether it goes says yes, and ends."""
        (replica_id,) = self.of(deployment_id)
        removal = self._parts.world.removals._by_replica[replica_id]
        self._parts.reconciler.drain_answered(replica_id, removal.drain_id, True, 0)
        await self.end(deployment_id)

    async def end(self, *deployment_ids: str) -> None:
        """The drained replicas of these finish."""
        for deployment_id in deployment_ids:
            await self.tell(deployment_id, 0, ReplicaState.DRAINING)
        await self._parts.until(lambda: not any(map(self.of, deployment_ids)))


def environments(parts: ControllerParts) -> dict[str, tuple[str, ...]]:
    """What points to each deployment that is not being removed."""
    return {d.deployment_id: d.environments for d in parts.world.deployments.values() if not d.retired}


def pointed_at(parts: ControllerParts, environment: str = "production") -> list[str]:
    """The deployments that an environment points to."""
    return sorted(id_ for id_, names in environments(parts).items() if environment in names)
