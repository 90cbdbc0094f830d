from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock_controller.errors import UnknownDeploymentError
from penstock_controller.records import ReplicaState
from penstock_controller.registry import RECOVERY_MIN_S
from penstock_controller.sessions import RunnerSession
from penstock_testing.controller_parts import (
    ControllerParts,
    FakeActuator,
    ManualClock,
    controller_parts,
    deployment,
    registration,
    report,
)


async def run_deployment(parts: ControllerParts, replicas: int) -> list[str]:
    """Applies a deployment and attaches all its replicas; returns their ids."""
    await parts.operations.apply([deployment(replicas=replicas)], prune=True)
    await parts.until(lambda: len(parts.actuator.running) == replicas)
    for replica_id in parts.actuator.running:
        parts.attach(replica_id)
    return list(parts.actuator.running)


def test_keeps_the_wanted_number_of_replicas_alive(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            first, second = await run_deployment(parts, 2)

            parts.actuator.end(first, -9)
            await parts.settle()
            assert list(parts.actuator.running) == [second]
            parts.clock.now += 0.11
            await parts.until(lambda: len(parts.actuator.running) == 2)

            assert first not in parts.actuator.running
            assert [event.kind for event in parts.store.journal.after(0)].count("replica_started") == 3

    asyncio.run(scenario())


def test_crash_loop_slows_down(tmp_path: Path) -> None:
    async def scenario() -> list[float]:
        async with controller_parts(tmp_path) as parts:
            await run_deployment(parts, 1)
            waits = []
            for _ in range(4):
                parts.actuator.end(next(iter(parts.actuator.running)), -11)
                before = parts.clock.now
                while not parts.actuator.running:
                    parts.clock.now += 0.05
                    await parts.settle()
                waits.append(round(parts.clock.now - before, 2))
            return waits

    for waited, delay in zip(asyncio.run(scenario()), [0.1, 0.5, 1.0, 2.0], strict=True):
        assert delay <= waited <= delay + 0.1


def test_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        actuator = FakeActuator()
        actuator.refusal = "no such folder"
        async with controller_parts(tmp_path, actuator=actuator) as parts:
            await parts.operations.apply([deployment()], prune=True)
            await parts.until(lambda: parts.world.fleet.places("echo-1") != ())
            await parts.settle()
            assert parts.world.fleet.places("echo-1")[0].restarts.message == "no such folder"

            actuator.refusal = None
            parts.clock.now += 1
            await parts.until(lambda: len(actuator.running) == 1)

    asyncio.run(scenario())


def test_fewer_replicas_end_the_idle_ones_and_keep_those_with_streams(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment(replicas=2)], prune=True)
            await parts.until(lambda: len(parts.actuator.running) == 2)
            busy, idle = parts.actuator.running
            parts.attach(busy, active=3)
            session = parts.attach(idle)

            await parts.operations.apply([deployment(replicas=1)], prune=True)
            drain = await session.next()
            assert drain is not None
            assert drain.drain.drain_id
            assert not drain.drain.HasField("grace")
            assert parts.actuator.stopped == []
            parts.reconciler.report(idle, session, report(2, ReplicaState.DRAINING))
            await parts.until(lambda: parts.actuator.stopped == [idle])

            assert list(parts.actuator.running) == [busy]
            assert parts.world.targets["echo-1"] == 1

    asyncio.run(scenario())


def test_pruned_deployment_is_forgotten_with_its_last_replica(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment("old-1")], prune=True)
            await parts.until(lambda: len(parts.actuator.running) == 1)

            await parts.operations.apply([deployment("new-1")], prune=True)
            await parts.until(lambda: list(parts.world.deployments) == ["new-1"])

            assert [spec.deployment_id for spec in parts.actuator.started] == ["old-1", "new-1"]
            assert parts.store.places()[0].deployment_id == "new-1"

    asyncio.run(scenario())


def test_without_prune_other_deployments_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment("old-1")], prune=False)
            await parts.operations.apply([deployment("new-1")], prune=False)
            await parts.until(lambda: len(parts.actuator.running) == 2)

    asyncio.run(scenario())


def test_stop_all_ends_everything_and_starts_nothing_until_applied_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await run_deployment(parts, 2)
            for replica_id in parts.actuator.running:
                parts.attach(replica_id, active=2)

            stopping = asyncio.create_task(parts.operations.stop_all(5.0))
            await parts.settle()
            assert len(parts.actuator.running) == 2
            parts.clock.now += 7
            await parts.until(stopping.done)

            assert await stopping == (2, 4)
            parts.clock.now += 60
            await parts.settle()
            assert parts.actuator.running == {}
            await run_deployment(parts, 1)

    asyncio.run(scenario())


def test_successor_adopts_what_runs_and_starts_nothing_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        actuator, clock = FakeActuator(), ManualClock()
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            alive, dead = await run_deployment(parts, 2)
        del actuator.running[dead]
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as successor:
            await successor.until(lambda: len(actuator.running) == 2)
            await successor.settle()

            assert alive in actuator.running
            assert len(actuator.started) == 3
            assert successor.registry.recovering
            successor.attach(alive)
            assert not successor.registry.recovering
            assert successor.registry.epoch == 2

    asyncio.run(scenario())


def test_replica_that_may_have_been_started_is_waited_for(tmp_path: Path) -> None:
    """The controller died between the intent and the note of the process."""

    async def scenario() -> None:
        actuator, clock = FakeActuator(), ManualClock()
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            (maybe,) = await run_deployment(parts, 1)
        del actuator.running[maybe]
        actuator.maybe.add(maybe)
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as successor:
            clock.now += RECOVERY_MIN_S - 1
            await successor.settle()
            assert actuator.running == {}
            clock.now += 1.5
            await successor.settle()
            clock.now += 0.2
            await successor.until(lambda: len(actuator.running) == 1)
            assert maybe not in actuator.running

    asyncio.run(scenario())


def test_replica_that_was_started_unnoted_is_adopted_when_it_attaches(tmp_path: Path) -> None:
    async def scenario() -> None:
        actuator, clock = FakeActuator(), ManualClock()
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            (maybe,) = await run_deployment(parts, 1)
        del actuator.running[maybe]
        actuator.maybe.add(maybe)
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as successor:
            successor.reconciler.attach(registration(maybe, pid=77), RunnerSession())
            clock.now += 1000
            await successor.settle()

            assert list(actuator.running) == [maybe]
            assert len(actuator.started) == 1

    asyncio.run(scenario())


def test_nothing_is_ended_during_recovery(tmp_path: Path) -> None:
    async def scenario() -> None:
        actuator, clock = FakeActuator(), ManualClock()
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            replicas = await run_deployment(parts, 2)
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as successor:
            await successor.operations.apply([deployment(replicas=1)], prune=True)
            await successor.settle()
            assert actuator.stopped == []
            sessions = [successor.attach(replica_id) for replica_id in replicas]
            await successor.settle()

            draining = [r.replica_id for r in successor.registry.replicas() if r.state is ReplicaState.DRAINING]
            assert len(draining) == 1
            assert len(sessions) == 2

    asyncio.run(scenario())


def test_replica_that_drains_by_itself_is_replaced_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (leaving,) = await run_deployment(parts, 1)
            session = parts.attach(leaving, active=1)

            parts.reconciler.report(leaving, session, report(2, ReplicaState.DRAINING, active=1))
            await parts.until(lambda: len(parts.actuator.running) == 2)

            assert leaving in parts.actuator.running

    asyncio.run(scenario())


def test_runner_of_an_unknown_deployment_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            with pytest.raises(UnknownDeploymentError, match="not known"):
                parts.reconciler.attach(registration("x-1", "x"), RunnerSession())

    asyncio.run(scenario())
