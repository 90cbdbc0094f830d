"""Whether a chainlet is still needed by streams: those that are open on the chainlets that may call it."""

from __future__ import annotations

from collections import Counter

from penstock_controller.records import Deployment
from penstock_controller.scaling.wording import amount
from penstock_controller.world import World

RECOVERING = "the controller has restarted and has not heard yet of every replica that may call it"


def needed_by(world: World, deployment: Deployment) -> str:
    """Says who may call the chainlet and has streams, for people; empty when nobody does, and for what is no chainlet.

    Only those of its own version call it.
    """
    callers = world.chains.callers(deployment.deployment_id)
    if not callers:
        return ""
    if world.registry.recovering:
        return RECOVERING
    streams: Counter[str] = Counter()
    for replica in world.registry.replicas():
        streams[replica.deployment_id] += replica.active_streams
    for caller in callers:
        found = streams[caller] + world.registry.edges.waiting_streams(caller, world.clock())
        if found:
            return f"{caller} has {amount(found, 'open stream')} and may call it"
    return ""
