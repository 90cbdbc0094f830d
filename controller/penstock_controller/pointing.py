"""Points environments at versions: at a model, or at all chainlets of a chain at once."""

from __future__ import annotations

from collections.abc import Sequence

from penstock_controller.records import Deployment
from penstock_controller.world import World


def point(
    world: World, members: Sequence[Deployment], environment: str, *, streams_end_wall: float | None = None
) -> dict[str, str]:
    """Points an environment at the deployments of one version, and away from chainlets that it no longer has.

    To be called in a transaction of the store. The world is not loaded anew.

    Args:
        world: What is changed.
        members: All deployments of the version.
        environment: Its name.
        streams_end_wall: When the streams of those are ended that lose their last environment; None leaves them.

    Returns the deployments that it pointed to before, if they are other ones, by those that took their places.
    """
    store, now_wall = world.store, world.wall()
    before: dict[str, str] = {}
    for member in members:
        replaced = store.point_environment(
            member.name, environment, member.deployment_id, now_wall=now_wall, streams_end_wall=streams_end_wall
        )
        if replaced is not None:
            before[member.deployment_id] = replaced
    chain = members[0].chain
    names = {member.name for member in members}
    for known in world.deployments.values() if chain is not None else ():
        is_own = known.chain is not None and chain is not None and known.chain.chain == chain.chain
        if is_own and environment in known.environments and known.name not in names:
            store.drop_environment(known, environment, now_wall=now_wall, streams_end_wall=streams_end_wall)
    return before
