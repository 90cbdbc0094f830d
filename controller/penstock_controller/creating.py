"""Creates models and chains, for `penstock push`: nothing that serves changes until the new version is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock_controller.chains.names import check_free
from penstock_controller.chains.preparing import PreparedChain
from penstock_controller.chains.retiring import retire
from penstock_controller.deploying import renewed
from penstock_controller.naming import PRODUCTION
from penstock_controller.pointing import point
from penstock_controller.promotions import Promotions
from penstock_controller.records import Deployment, Promotion
from penstock_controller.world import World

UNPROMOTED_KEPT = 20
"""Deployments of one name, made of artifacts, that no environment points to and that have no replica. Older ones are
removed: each push makes one more, and this many can be rolled back to."""


@dataclass(frozen=True, slots=True)
class CreatedDeployment:
    """What became of a push."""

    name: str
    deployment_id: str
    environment: str
    """That points to it, or will; empty for none."""
    existed: bool


class Creations:
    """The pushes of one controller life.

    Args:
        acting: Held while the world is changed, so that a request falls between two rounds of the loop.
    """

    def __init__(self, world: World, promotions: Promotions, acting: asyncio.Lock) -> None:
        self._world = world
        self._promotions = promotions
        self._acting = acting

    async def create(self, wanted: Deployment, environment: str) -> CreatedDeployment:
        """Creates the deployment of a model, or finds the one of the same content.

        Args:
            wanted: Without environments.
            environment: That is to point to it as soon as a replica is ready. Empty means none; the first deployment
                of a name gets production, at once.

        Raises:
            ConflictError: A chain has this name.
        """
        return await self._create([wanted], wanted, environment)

    async def create_chain(self, wanted: PreparedChain, environment: str) -> CreatedDeployment:
        """Creates all deployments of a version of a chain, or finds those of the same content: all or none.

        Args:
            wanted: Its deployments are without environments.
            environment: That is to point to them as soon as each has a ready replica. Empty means none; the first
                version of a name gets production, at once.

        Returns what became of the entrypoint.

        Raises:
            ConflictError: A model has this name.
        """
        return await self._create(wanted.members, wanted.entrypoint, environment)

    async def _create(self, members: Sequence[Deployment], first: Deployment, environment: str) -> CreatedDeployment:
        world, store = self._world, self._world.store
        name, version_id = first.name, first.deployment_id
        async with self._acting:
            check_free(name, world.deployments.values(), is_chain=first.chain is not None)
            known = {d.deployment_id: self._known(d) for d in members}
            is_first = not any(d.name == name and not d.retired for d in world.deployments.values())
            with store.transaction():
                for wanted in members:
                    found = known[wanted.deployment_id]
                    store.put_deployment(
                        _created(wanted, found)
                        if found
                        else renewed(wanted, world.deployments.get(wanted.deployment_id))
                    )
                if is_first and environment in ("", PRODUCTION):
                    environment = PRODUCTION
                    # Streams that come before it is ready wait for it: there is nothing else they could go to.
                    point(world, members, environment)
            for wanted in members:
                found = known[wanted.deployment_id]
                if found is None or found.stopped:
                    world.scaling(wanted.deployment_id).initial = True
                    source = f"artifact {wanted.artifact}" if wanted.artifact else wanted.source
                    world.event("deployment_created", f"from {source}", wanted.deployment_id)
            world.load_deployments()
            for wanted in members:
                world.registry.touch(wanted.deployment_id)
            if environment and environment not in world.deployments[version_id].environments:
                promotion = Promotion(name, environment, version_id, None, world.wall())
                self._promotions.request(promotion, at_once=False)
            self._retire_old(name, keep=version_id)
        world.changed()
        return CreatedDeployment(name, version_id, environment, all(found is not None for found in known.values()))

    def _known(self, wanted: Deployment) -> Deployment | None:
        known = self._world.deployments.get(wanted.deployment_id)
        return known if known is not None and not known.retired else None

    def _retire_old(self, name: str, *, keep: str) -> None:
        world = self._world
        kept = {keep, *(promotion.deployment_id for promotion in world.promotions)}
        spare = [
            d
            for d in world.deployments.values()
            if d.name == name
            and d.artifact
            and not d.environments
            and not d.retired
            and d.deployment_id not in kept
            and all(map(world.fleet.is_empty, world.chains.members(d.deployment_id)))
        ]
        spare.sort(key=lambda d: d.superseded_wall or d.created_wall)
        old = spare[: max(0, len(spare) - UNPROMOTED_KEPT)]
        with world.store.transaction():
            for deployment in old:
                retire(world, world.version_of(deployment.deployment_id))
        for deployment in old:
            world.event(
                "deployment_retired", f"{UNPROMOTED_KEPT} newer ones of its name are kept", deployment.deployment_id
            )
        world.load_deployments()


def _created(wanted: Deployment, known: Deployment) -> Deployment:
    """Returns what a deployment becomes that is pushed again: it stays, with what operators made of it."""
    replicas = wanted.overrides.replicas
    overrides = known.overrides if replicas is None else replace(known.overrides, replicas=replicas)
    return replace(known, overrides=overrides, stopped=False, build=renewed(wanted, known).build)
