"""Removes deployments. A chainlet that open streams may still call stays reachable until those have ended."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_controller.chains.needs import needed_by
from penstock_controller.records import Deployment
from penstock_controller.world import World


def retire(world: World, deployments: Iterable[Deployment]) -> None:
    """Begins to remove deployments. To be called in a transaction of the store; the world is not loaded anew.

    Of a chain all of a version must be given. Its entrypoint goes first; `retire_orphans` removes the others.
    """
    for deployment in deployments:
        if not deployment.is_inner:
            world.store.retire_deployment(deployment.deployment_id)
        elif not deployment.retired and not deployment.superseded:
            world.store.supersede_deployment(deployment.deployment_id, now_wall=world.wall())


def retire_orphans(world: World) -> None:
    """Removes chainlets whose entrypoint is removed, as soon as nobody who has open streams may call them."""
    orphans = [d for d in world.deployments.values() if d.is_inner and not d.retired and _is_orphan(world, d)]
    gone = [d for d in orphans if not needed_by(world, d)]
    if not gone:
        return
    for deployment in gone:
        world.store.retire_deployment(deployment.deployment_id)
        world.event(
            "deployment_retired", f"the entrypoint of {deployment.version_id} is removed", deployment.deployment_id
        )
    world.load_deployments()
    world.changed()


def _is_orphan(world: World, deployment: Deployment) -> bool:
    entrypoint = world.deployments.get(deployment.version_id)
    return entrypoint is None or entrypoint.retired
