"""Starts the replicas that have a place and no process, and notes how they end."""

from __future__ import annotations

import structlog

from penstock_controller.actuators.base import ReplicaExit, ReplicaSpec, StartError
from penstock_controller.exits import judge_exit, judge_start
from penstock_controller.fleet import Place
from penstock_controller.identifiers import new_replica_id
from penstock_controller.records import Deployment
from penstock_controller.restarts import ExitKind, PlaceState
from penstock_controller.world import World

log = structlog.get_logger("controller")


class Lifecycle:
    """The processes of all replicas of one controller life."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def start(self, deployment: Deployment, place: Place) -> None:
        """Starts a replica in a place."""
        world, deployment_id = self._world, deployment.deployment_id
        replica_id = new_replica_id(deployment_id)
        waited = place.restarts.state is PlaceState.WAITING_FOR_GPU
        world.fleet.occupy(place, replica_id, world.clock())
        # The intent is stored first: should this process die in between, the next one waits for the replica to appear
        # instead of starting a second.
        world.save_place(place)
        world.registry.touch(deployment_id)
        spec = ReplicaSpec(
            replica_id,
            deployment_id,
            deployment.name,
            deployment.environments[0] if deployment.environments else "",
            deployment.source,
            gpus=deployment.gpus,
            python=deployment.build.python,
            environment_variables=deployment.environment_variables,
        )
        try:
            process = await world.actuator.ensure(spec)
        except StartError as exc:
            world.fleet.exited(replica_id, judge_start(exc), str(exc), world.clock())
            world.save_places(deployment_id)
            if not waited:
                world.event("replica_not_started", str(exc), deployment_id, replica_id)
                log.error("replica_not_started", replica=replica_id, reason=str(exc))
            return
        world.registry.started(
            replica_id,
            deployment_id,
            pid=process.pid,
            started_wall=process.started_wall or world.wall(),
            now=world.clock(),
        )
        text = f"process {process.pid}, start {place.restarts.starts} of place {place.index}"
        world.event("replica_started", text, deployment_id, replica_id)
        log.info("replica_started", replica=replica_id, pid=process.pid, restarts=place.restarts.restarts)

    def exited(self, ended: ReplicaExit) -> None:
        """The process of a replica has ended."""
        world, replica_id = self._world, ended.replica_id
        replica = world.registry.process_gone(replica_id)
        kind, message = judge_exit(replica, ended)
        leaver = world.fleet.leavers().get(replica_id)
        place = world.fleet.exited(replica_id, kind, message, world.clock())
        deployment_id = place.deployment_id if place else leaver
        self._forget(replica_id, place)
        if place is not None:
            next_start_at = place.restarts.next_start_at or world.clock()
            log.warning(
                "replica_exited",
                replica=replica_id,
                kind=kind.value,
                status=ended.status,
                failures=place.restarts.failures,
                restart_in_s=round(next_start_at - world.clock(), 3),
            )
        else:
            log.info("replica_ended", replica=replica_id, status=ended.status)
        world.event("replica_exited" if place else "replica_ended", message, deployment_id, replica_id)
        world.changed()

    def lost(self, replica_id: str, now: float) -> None:
        """Nothing is heard of a replica any more, and nobody watches its process."""
        world = self._world
        world.registry.process_gone(replica_id)
        message = "nothing was heard of it for longer than its lease"
        place = world.fleet.exited(replica_id, ExitKind.CRASH, message, now)
        self._forget(replica_id, place)
        world.event("replica_lost", message, place.deployment_id if place else None, replica_id)
        log.warning("replica_lost", replica=replica_id)

    def _forget(self, replica_id: str, place: Place | None) -> None:
        world = self._world
        world.load.gone(replica_id)
        world.store.put_cordon(replica_id, False)
        if place is not None:
            world.save_places(place.deployment_id)
            world.registry.touch(place.deployment_id)
