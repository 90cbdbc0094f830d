from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from penstock_controller.creating import UNPROMOTED_KEPT, CreatedDeployment
from penstock_controller.records import Build, BuildState, Deployment, ReplicaState
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_testing.controller_parts import ControllerParts, controller_parts, deployment


def pushed(number: int = 1, **changes: object) -> Deployment:
    return deployment(f"echo-{number}", None, **{"environments": (), "artifact": f"{number:064x}", **changes})


async def create(parts: ControllerParts, wanted: Deployment, environment: str = "") -> CreatedDeployment:
    return await parts.reconciler.creations.create(wanted, environment)


async def serve(parts: ControllerParts, deployment_id: str) -> None:
    """Lets a replica of the deployment start and be ready."""

    def own() -> list[str]:
        return [r for r, process in parts.actuator.running.items() if process.deployment_id == deployment_id]

    await parts.until(lambda: bool(own()))
    parts.attach(own()[0], ReplicaState.READY)
    await parts.settle()


def environments(parts: ControllerParts, deployment_id: str) -> tuple[str, ...]:
    return parts.world.deployments[deployment_id].environments


def run(tmp_path: Path, scenario: Callable[[ControllerParts], Awaitable[None]]) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            await scenario(parts)

    asyncio.run(main())


def test_production_points_to_the_first_of_a_name_at_once(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        assert await create(parts, pushed()) == CreatedDeployment("echo", "echo-1", "production", False)
        assert environments(parts, "echo-1") == ("production",)
        await serve(parts, "echo-1")

    run(tmp_path, scenario)


def test_another_one_starts_a_replica_and_no_environment_moves(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        await create(parts, pushed(1))
        await serve(parts, "echo-1")
        assert (await create(parts, pushed(2))).environment == ""
        await serve(parts, "echo-2")
        assert (environments(parts, "echo-1"), environments(parts, "echo-2")) == (("production",), ())

    run(tmp_path, scenario)


def test_an_environment_moves_only_when_a_replica_is_ready(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        await create(parts, pushed(1))
        await serve(parts, "echo-1")
        assert (await create(parts, pushed(2), "production")).environment == "production"
        await parts.until(lambda: len(parts.actuator.running) == 2)
        assert environments(parts, "echo-1") == ("production",)
        await serve(parts, "echo-2")
        assert (environments(parts, "echo-1"), environments(parts, "echo-2")) == ((), ("production",))
        assert parts.world.deployments["echo-1"].superseded

    run(tmp_path, scenario)


def test_an_unhealthy_replica_does_not_move_an_environment(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        await create(parts, pushed(1))
        await create(parts, pushed(2), "staging")
        await parts.until(lambda: len(parts.actuator.running) == 2)
        (replica_id,) = [r for r, p in parts.actuator.running.items() if p.deployment_id == "echo-2"]
        session = parts.attach(replica_id, ReplicaState.STARTING)
        replica = parts.registry.replica(replica_id)
        assert replica is not None and replica.report is not None
        sick = replace(replica.report, sequence=2, state=ReplicaState.READY, unhealthy=True)
        parts.reconciler.report(replica_id, session, sick)
        await parts.settle()
        assert environments(parts, "echo-2") == ()
        parts.reconciler.report(replica_id, session, replace(sick, sequence=3, unhealthy=False))
        await parts.settle()
        assert environments(parts, "echo-2") == ("staging",)

    run(tmp_path, scenario)


def test_the_same_content_is_found_again_with_what_operators_made_of_it(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        await create(parts, pushed())
        await serve(parts, "echo-1")
        await parts.operations.scale("echo", ScalingOverrides(max_replica=7), dry_run=False)
        again = await create(parts, pushed(), "production")
        assert (again.existed, again.environment) == (True, "production")
        assert parts.world.deployments["echo-1"].overrides.max_replica == 7
        assert parts.world.promotions == []
        assert len(parts.actuator.started) == 1
        await create(parts, pushed(overrides=ScalingOverrides(replicas=2)))
        await parts.until(lambda: len(parts.actuator.running) == 2)

    run(tmp_path, scenario)


def test_a_stopped_one_starts_again_and_a_failed_build_is_tried_again(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        wanted = pushed(build=Build(BuildState.WAITING))
        await create(parts, wanted)
        await parts.until(lambda: parts.world.deployments["echo-1"].build.state is BuildState.FAILED)
        parts.world.put_deployment(replace(parts.world.deployments["echo-1"], stopped=True))
        await parts.settle()
        assert (await create(parts, wanted)).existed
        assert not parts.world.deployments["echo-1"].stopped
        builds = [e.kind for e in parts.store.journal.after(0) if e.kind.startswith("build_")]
        await parts.until(lambda: parts.world.deployments["echo-1"].build.state is BuildState.FAILED)
        failed_again = [e.kind for e in parts.store.journal.after(0) if e.kind.startswith("build_")]
        assert len(failed_again) == len(builds) + 1

    run(tmp_path, scenario)


def test_old_ones_that_nothing_points_to_are_removed(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        await create(parts, pushed(0))
        parts.world.put_deployment(deployment("echo-x", None, environments=(), name="echo"))
        await parts.operations.pause("", paused=True)
        for number in range(1, UNPROMOTED_KEPT + 4):
            parts.clock.now += 1
            await create(parts, pushed(number, created_wall=parts.clock.wall()))
        await parts.settle()
        left = {d for d, known in parts.world.deployments.items() if not known.retired}
        # The one of production, the one that was never pushed, the new one and those that are kept.
        assert len(left) == 3 + UNPROMOTED_KEPT
        assert {"echo-0", "echo-x", f"echo-{UNPROMOTED_KEPT + 3}"} <= left
        assert "echo-1" not in left

    run(tmp_path, scenario)


def test_nothing_starts_before_the_build_is_over(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts) -> None:
        # Here nothing can be built: it fails at once.
        await create(parts, pushed(build=Build(BuildState.WAITING)))
        await parts.until(lambda: parts.world.deployments["echo-1"].build.state is BuildState.FAILED)
        await parts.settle()
        assert parts.actuator.started == []
        parts.world.put_deployment(
            replace(parts.world.deployments["echo-1"], build=Build(BuildState.DONE, python="/env/python"))
        )
        await parts.until(lambda: len(parts.actuator.started) == 1)
        assert parts.actuator.started[0].python == "/env/python"

    run(tmp_path, scenario)
