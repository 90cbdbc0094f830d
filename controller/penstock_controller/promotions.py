"""Points environments at deployments: at once, or as soon as a replica is ready. Open streams stay where they are.

A chain is promoted as a whole, as soon as every chainlet has a ready replica.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from penstock_controller.chains.needs import needed_by
from penstock_controller.pointing import point
from penstock_controller.records import Deployment, Promotion, ReplicaState
from penstock_controller.replica import Replica
from penstock_controller.world import World

SPREAD_MAX_S = 60.0
"""Longest time over which the ends of left-over streams are spread; half of the deadline when that is less."""

CALLERS_S = 15.0
"""Time after the deadline of a promotion for the streams that called a chainlet to be gone: their replicas are ended by
then."""

log = structlog.get_logger("controller")


class Promotions:
    """Changes the environments of one controller life."""

    def __init__(self, world: World) -> None:
        self._world = world

    def request(self, promotion: Promotion, *, at_once: bool) -> bool:
        """Promotes, or waits for a ready replica. Takes the place of an earlier request for the same environment.

        Returns whether it waits.
        """
        world = self._world
        members = world.chains.members(promotion.deployment_id)
        for member in members:
            self._return_replicas(member)
        if at_once or self._is_ready(promotion.deployment_id):
            self._complete(promotion)
            return False
        world.store.put_promotion(promotion)
        world.load_deployments()
        of_each = f" of each of {len(members)} chainlets" if len(members) > 1 else ""
        world.event(
            "promotion_requested",
            f"{promotion.environment} waits for a ready replica{of_each}",
            promotion.deployment_id,
        )
        return True

    def step(self) -> None:
        """Completes what has waited for a replica that is ready now."""
        for promotion in list(self._world.promotions):
            if self._is_ready(promotion.deployment_id):
                self._complete(promotion)

    def drain_left_over(self) -> None:
        """Sees to it that the streams of superseded deployments end at their deadline.

        The drain goes out at once: it is the warning, and from then on the runner keeps the deadline by itself.
        """
        world = self._world
        for deployment in list(world.deployments.values()):
            superseded_wall, end_wall = deployment.superseded_wall, deployment.streams_end_wall
            if superseded_wall is None or end_wall is None:
                continue
            left_s = end_wall - world.wall()
            if needed_by(world, deployment):
                # Its callers' streams have that time, too. What is open after it came since, for them by their ids.
                if left_s <= -CALLERS_S and not world.registry.recovering:
                    world.put_deployment(replace(deployment, streams_end_wall=None))
                continue
            for replica in world.registry.replicas():
                is_own = replica.deployment_id == deployment.deployment_id and replica.registration is not None
                # One that was started since serves those who ask for the deployment by its id.
                is_old = replica.started_wall is None or replica.started_wall <= superseded_wall
                if is_own and is_old and replica.drain_deadline is None:
                    self._drain(replica, max(0.0, left_s))
            if left_s <= 0:
                world.put_deployment(replace(deployment, streams_end_wall=None))

    def _drain(self, replica: Replica, left_s: float) -> None:
        world = self._world
        world.leave(replica.replica_id)
        world.stopper.request(replica.replica_id, world.clock() + left_s, min(SPREAD_MAX_S, left_s / 2))
        world.event(
            "streams_end_soon",
            f"{replica.active_streams} open streams have {left_s:.0f} s left",
            replica.deployment_id,
            replica.replica_id,
        )

    def _complete(self, promotion: Promotion) -> None:
        world, store = self._world, self._world.store
        end_wall = None if promotion.deadline_s is None else world.wall() + promotion.deadline_s
        members = world.version_of(promotion.deployment_id)
        with store.transaction():
            before = point(world, members, promotion.environment, streams_end_wall=end_wall)
            store.delete_promotion(promotion.name, promotion.environment)
        left = [d.deployment_id for d in world.deployments.values() if not d.superseded]
        world.load_deployments()
        for deployment_id in left:
            old = world.deployments[deployment_id]
            if old.superseded and old.overrides.replicas is not None:
                # A fixed number was meant for the deployment that serves.
                world.put_deployment(replace(old, overrides=replace(old.overrides, replicas=None)))
        for member in members:
            self._note(member, promotion.environment, before.get(member.deployment_id))
        world.changed()

    def _note(self, member: Deployment, environment: str, before: str | None) -> None:
        text = f"{environment} points to it" + (f", no longer to {before}" if before else "")
        self._world.event("deployment_promoted", text, member.deployment_id)
        log.info("deployment_promoted", deployment=member.deployment_id, environment=environment, before=before)

    def _is_ready(self, deployment_id: str) -> bool:
        """Whether every part of what is promoted has a replica that takes streams."""
        return all(map(self._has_ready_replica, self._world.chains.members(deployment_id)))

    def _has_ready_replica(self, deployment_id: str) -> bool:
        return any(
            place.replica_id is not None
            and (replica := self._world.registry.replica(place.replica_id)) is not None
            and replica.state is ReplicaState.READY
            and not replica.suspect
            and not replica.unhealthy
            for place in self._world.fleet.places(deployment_id)
        )

    def _return_replicas(self, deployment_id: str) -> None:
        """A deployment that was on its way out comes back: its replicas that still live need not be started anew."""
        world = self._world
        deployment = world.deployments[deployment_id]
        if not deployment.superseded:
            return
        for replica_id, leaver_of in world.fleet.leavers().items():
            if leaver_of == deployment_id and world.stopper.take_back(replica_id):
                return_replica(world, replica_id)


def return_replica(world: World, replica_id: str) -> None:
    """Gives a replica whose drain was taken back a place again."""
    place = world.fleet.rejoin(replica_id, world.clock())
    if place is None:
        return
    scaling = world.scaling(place.deployment_id)
    places = len(world.fleet.places(place.deployment_id))
    if places > scaling.state.target:
        scaling.state = replace(scaling.state, target=places)
        world.store.put_target(place.deployment_id, places)
    world.save_places(place.deployment_id)
    world.registry.touch(place.deployment_id)
