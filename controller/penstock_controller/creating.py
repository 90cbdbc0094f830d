"""Creates single deployments, for `penstock push`: nothing that serves changes until the new one is ready."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from penstock_controller.deploying import renewed
from penstock_controller.naming import PRODUCTION
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
        """Creates the deployment, or finds the one of the same content.

        Args:
            wanted: Without environments.
            environment: That is to point to it as soon as a replica is ready. Empty means none; the first deployment
                of a name gets production, at once.
        """
        world, store = self._world, self._world.store
        deployment_id = wanted.deployment_id
        async with self._acting:
            before = world.deployments.get(deployment_id)
            known = before if before is not None and not before.retired else None
            is_first = not any(d.name == wanted.name and not d.retired for d in world.deployments.values())
            with store.transaction():
                store.put_deployment(_created(wanted, known) if known else renewed(wanted, before))
                if is_first and environment in ("", PRODUCTION):
                    environment = PRODUCTION
                    # Streams that come before it is ready wait for it: there is nothing else they could go to.
                    store.point_environment(wanted.name, environment, deployment_id, now_wall=world.wall())
            if known is None or known.stopped:
                world.scaling(deployment_id).initial = True
                source = f"artifact {wanted.artifact}" if wanted.artifact else wanted.source
                world.event("deployment_created", f"from {source}", deployment_id)
            world.load_deployments()
            world.registry.touch(deployment_id)
            if environment and environment not in world.deployments[deployment_id].environments:
                promotion = Promotion(wanted.name, environment, deployment_id, None, world.wall())
                self._promotions.request(promotion, at_once=False)
            self._retire_old(wanted.name, keep=deployment_id)
        world.changed()
        return CreatedDeployment(wanted.name, deployment_id, environment, known is not None)

    def _retire_old(self, name: str, *, keep: str) -> None:
        world = self._world
        promised = {promotion.deployment_id for promotion in world.promotions}
        spare = [
            d
            for d in world.deployments.values()
            if d.name == name
            and d.artifact
            and not d.environments
            and not d.retired
            and d.deployment_id not in (keep, *promised)
            and world.fleet.is_empty(d.deployment_id)
        ]
        spare.sort(key=lambda d: d.superseded_wall or d.created_wall)
        for deployment in spare[: max(0, len(spare) - UNPROMOTED_KEPT)]:
            world.store.retire_deployment(deployment.deployment_id)
            world.event(
                "deployment_retired", f"{UNPROMOTED_KEPT} newer ones of its name are kept", deployment.deployment_id
            )
        world.load_deployments()


def _created(wanted: Deployment, known: Deployment) -> Deployment:
    """Returns what a deployment becomes that is pushed again: it stays, with what operators made of it."""
    replicas = wanted.overrides.replicas
    overrides = known.overrides if replicas is None else replace(known.overrides, replicas=replicas)
    return replace(known, overrides=overrides, stopped=False, build=renewed(wanted, known).build)
