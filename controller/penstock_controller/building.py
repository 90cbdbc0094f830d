"""Has deployments prepared before their first replica starts. Decides what is built when; the engine runs it."""

from __future__ import annotations

from dataclasses import replace

import structlog

from penstock_controller.actuators.builds import BuildEnd, BuildEngine, BuildSpec
from penstock_controller.records import Build, BuildState, Deployment
from penstock_controller.world import World

BUILDS_MAX = 2
"""Builds at the same time; the others wait, the oldest deployment first. An installer uses more than one core."""

NO_ENGINE = "this controller cannot build deployments"

log = structlog.get_logger("controller")


class Builds:
    """The builds of one controller life."""

    def __init__(self, world: World, engine: BuildEngine | None) -> None:
        self._world = world
        self._engine = engine
        self._began: dict[str, float] = {}

    async def open(self) -> None:
        """Takes over what an earlier life has started."""
        if self._engine is not None:
            await self._engine.open(self._ended)
            self._world.on_forget = self._forgotten
        running = frozenset() if self._engine is None else frozenset(self._engine.running())
        for deployment in list(self._world.deployments.values()):
            if deployment.build.state is BuildState.RUNNING and deployment.deployment_id not in running:
                # It left no trace, so it begins anew: what it has done so far is in the cache.
                self._put(deployment.deployment_id, Build(BuildState.WAITING))

    async def close(self) -> None:
        """Builds go on; the next controller adopts them."""
        if self._engine is not None:
            await self._engine.close()

    def step(self) -> None:
        """Starts what waits, and ends what nobody wants any more."""
        world, engine = self._world, self._engine
        waiting = [d for d in world.deployments.values() if d.build.state is BuildState.WAITING and _is_wanted(d)]
        if engine is None:
            for deployment in waiting:
                self._failed(deployment.deployment_id, NO_ENGINE)
            return
        running = engine.running()
        for deployment_id in running:
            known = world.deployments.get(deployment_id)
            if known is None or not _is_wanted(known):
                engine.stop(deployment_id)
        for deployment in waiting[: max(0, BUILDS_MAX - len(running))]:
            # Its last build may still be ending.
            if deployment.deployment_id not in running:
                self._start(deployment)

    # Inside.

    def _forgotten(self, deployment: Deployment) -> None:
        assert self._engine is not None
        is_shared = any(other.source == deployment.source for other in self._world.deployments.values())
        self._engine.forget(deployment.deployment_id, None if is_shared else deployment.source)

    def _start(self, deployment: Deployment) -> None:
        assert self._engine is not None
        deployment_id = deployment.deployment_id
        self._began[deployment_id] = self._world.clock()
        self._put(deployment_id, Build(BuildState.RUNNING))
        self._world.event("build_started", f"of {deployment.source}", deployment_id)
        log.info("build_started", deployment=deployment_id)
        self._engine.start(BuildSpec(deployment_id, deployment.source))

    def _ended(self, ended: BuildEnd) -> None:
        world, deployment_id = self._world, ended.deployment_id
        began = self._began.pop(deployment_id, None)
        known = world.deployments.get(deployment_id)
        if known is None:
            return
        if ended.was_cut:
            # Stopped, or of an earlier life without a result: it begins anew when it is wanted.
            self._put(deployment_id, Build(BuildState.WAITING))
        elif ended.error:
            self._failed(deployment_id, ended.error)
        else:
            took = "found after a restart" if began is None else f"after {world.clock() - began:.1f} s"
            self._put(deployment_id, Build(BuildState.DONE, "\n".join(ended.problems), ended.python))
            world.event("build_finished", "; ".join((took, *ended.problems)), deployment_id)
            log.info("build_finished", deployment=deployment_id, python=ended.python, problems=len(ended.problems))
        world.changed()

    def _failed(self, deployment_id: str, message: str) -> None:
        self._put(deployment_id, Build(BuildState.FAILED, message))
        self._world.event("build_failed", message, deployment_id)
        log.error("build_failed", deployment=deployment_id, reason=message)
        self._world.changed()

    def _put(self, deployment_id: str, build: Build) -> None:
        self._world.put_deployment(replace(self._world.deployments[deployment_id], build=build))


def _is_wanted(deployment: Deployment) -> bool:
    return not deployment.retired and not deployment.stopped
