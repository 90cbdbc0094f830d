"""A chain that is removed loses its entrypoint first, and what that may call when its last stream is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from penstock_controller.records import ReplicaState
from penstock_testing.controller_chains import ChainReplicas, environments, version
from penstock_testing.controller_parts import ControllerParts, controller_parts

OLD = ["voice-1", "voice.Hear-1", "voice.Look-1", "voice.Think-1"]
NEW = ["voice-2", "voice.Hear-2", "voice.Look-2", "voice.Think-2"]

Scenario = Callable[[ControllerParts, ChainReplicas], Awaitable[None]]


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            await scenario(parts, ChainReplicas(parts))

    asyncio.run(main())


async def replaced(parts: ControllerParts, replicas: ChainReplicas, streams: int) -> None:
    """Version 1, whose entrypoint has these streams, is removed for version 2."""
    await parts.operations.apply([], prune=True, chains=[version(1, environment="production")])
    await replicas.serve(*OLD)
    await replicas.tell("voice-1", streams)
    await parts.operations.apply([], prune=True, chains=[version(2, environment="production")])
    await parts.settle()


def reachable(parts: ControllerParts) -> list[str]:
    """The deployments that edges may place streams on."""
    return [d.deployment_id for d in parts.registry.route_table(parts.clock()).deployments]


def test_inner_chainlets_stay_reachable_until_the_last_stream_is_over(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await replaced(parts, replicas, streams=1)
        assert sorted(reachable(parts)) == sorted([*OLD[1:], *NEW])
        assert parts.world.deployments["voice-1"].retired
        for inner in OLD[1:]:
            replica = parts.registry.replica(replicas.of(inner)[0])
            assert replica is not None
            assert replica.state is ReplicaState.READY

        await replicas.end(*OLD)
        await parts.until(lambda: sorted(parts.world.deployments) == NEW)
        kinds = [e.kind for e in parts.store.journal.after(0) if e.deployment_id == "voice.Look-1"]
        assert kinds[-1] == "deployment_removed"
        assert "deployment_retired" in kinds

    run(tmp_path, scenario)


def test_a_chain_without_streams_goes_at_once(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await replaced(parts, replicas, streams=0)
        assert sorted(reachable(parts)) == NEW
        await replicas.end(*OLD)
        await parts.until(lambda: sorted(parts.world.deployments) == NEW)

    run(tmp_path, scenario)


def test_what_is_asked_for_again_stays(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await replaced(parts, replicas, streams=1)
        await parts.operations.apply([], prune=True, chains=[version(1, environment="production")])
        await parts.settle()
        assert sorted(environments(parts)) == OLD
        assert set(environments(parts).values()) == {("production",)}

    run(tmp_path, scenario)


def test_the_next_controller_waits_for_every_replica_before_it_removes_any(tmp_path: Path) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            replicas = ChainReplicas(parts)
            await replaced(parts, replicas, streams=1)
            actuator, clock = parts.actuator, parts.clock
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            replicas = ChainReplicas(parts)
            await parts.settle()
            assert parts.registry.recovering
            assert "voice.Hear-1" in reachable(parts)
            for replica_id, process in list(actuator.running.items()):
                active = 1 if process.deployment_id == "voice-1" else 0
                replicas.sessions[replica_id] = parts.attach(replica_id, active=active)
            await parts.settle()
            assert "voice.Hear-1" in reachable(parts)
            await replicas.end(*OLD)
            await parts.until(lambda: sorted(parts.world.deployments) == NEW)

    asyncio.run(main())
