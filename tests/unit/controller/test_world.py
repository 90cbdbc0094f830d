from __future__ import annotations

import asyncio
from pathlib import Path

from penstock_controller.records import ScaleDecision
from penstock_controller.scaling.decision import PolicyState
from penstock_testing.controller_parts import WALL, controller_parts, deployment


def test_target_and_last_decision_of_an_earlier_life_are_taken_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        decision = ScaleDecision("all_busy", "why", WALL, 1, 2)
        async with controller_parts(tmp_path) as parts:
            parts.store.put_deployment(deployment(replicas=None))
            parts.store.add_decision("echo-1", decision)
        async with controller_parts(tmp_path) as parts:
            scaling = parts.world.scaling("echo-1")
            assert (scaling.state.target, scaling.last_change) == (2, decision)

    asyncio.run(scenario())


def test_forgotten_deployment_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            wanted = deployment(replicas=0)
            await parts.operations.apply([wanted], prune=True)
            await parts.settle()
            parts.world.scaling("echo-1").state = PolicyState(target=3)

            parts.world.forget(wanted)

            assert parts.world.deployments == {}
            assert "echo-1" not in parts.world.targets
            assert not parts.world.fleet.places("echo-1")
            assert [e.kind for e in parts.store.journal.after(0)][-1] == "deployment_removed"

    asyncio.run(scenario())


def test_replica_that_leaves_frees_its_place_and_has_its_deployment_looked_at(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment()], prune=True)
            await parts.until(lambda: len(parts.actuator.running) == 1)
            (replica_id,) = parts.actuator.running
            parts.registry.take_changed()

            parts.world.leave(replica_id)
            parts.world.flush_places()

            assert parts.world.fleet.leavers() == {replica_id: "echo-1"}
            assert parts.registry.take_changed() == {"echo-1"}
            assert [place.replica_id for place in parts.store.places()] == [None]

    asyncio.run(scenario())
