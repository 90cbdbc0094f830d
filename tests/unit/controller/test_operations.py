from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_controller.errors import ConflictError, InvalidRequestError, NotFoundError
from penstock_controller.operations import ReplicaChange, slots_of
from penstock_controller.records import Deployment, ReplicaState
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.sessions import RunnerSession
from penstock_testing.controller_parts import ControllerParts, controller_parts, deployment, report


async def started(parts: ControllerParts, wanted: Deployment, count: int) -> dict[str, RunnerSession]:
    """Applies a deployment and attaches its replicas."""
    before = set(parts.actuator.running)
    await parts.operations.apply([wanted], prune=False)
    await parts.until(lambda: len(parts.actuator.running) == len(before) + count)
    return {r: parts.attach(r) for r in parts.actuator.running if r not in before}


def applied(parts: ControllerParts, deployment_id: str = "echo-1") -> Deployment:
    return parts.world.deployments[deployment_id]


def test_apply_forgets_what_operators_had_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment(replicas=None)], prune=True)
            await parts.operations.scale("echo", ScalingOverrides(max_replica=5), dry_run=False)
            assert applied(parts).overrides.max_replica == 5
            await parts.operations.apply([deployment(replicas=None)], prune=True)
            assert applied(parts).overrides == ScalingOverrides()

    asyncio.run(scenario())


def test_fixed_number_holds_until_new_bounds_or_automatic(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await started(parts, deployment(replicas=None), 1)
            await parts.operations.scale("echo", ScalingOverrides(replicas=3), dry_run=False)
            await parts.until(lambda: len(parts.actuator.running) == 3)

            await parts.operations.scale("echo", ScalingOverrides(max_concurrency=2), dry_run=False)
            assert applied(parts).overrides == ScalingOverrides(replicas=3, max_concurrency=2)
            await parts.operations.scale("echo", ScalingOverrides(max_replica=4), dry_run=False)
            assert applied(parts).overrides == ScalingOverrides(max_replica=4, max_concurrency=2)
            before, after = await parts.operations.scale("echo", None, dry_run=False)
            assert (before.overrides.max_replica, after.overrides) == (4, ScalingOverrides())

    asyncio.run(scenario())


def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (replica_id,) = await started(parts, deployment(), 1)
            _, after = await parts.operations.scale("echo", ScalingOverrides(replicas=0), dry_run=True)
            changed = await parts.operations.change_replicas(
                ReplicaChange.DRAIN, [replica_id], grace_s=5.0, dry_run=True
            )
            promoted = await parts.operations.promote("echo", "staging", deadline_s=None, at_once=True, dry_run=True)
            await parts.settle()

            assert (after.overrides.replicas, changed[0].replica_id, promoted.environment) == (
                0,
                replica_id,
                "staging",
            )
            assert applied(parts) == replace(deployment(), ready_wall=applied(parts).ready_wall)
            assert parts.registry.replicas()[0].state is ReplicaState.READY

    asyncio.run(scenario())


def test_wrong_number_is_refused_with_its_range(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment()], prune=True)
            with pytest.raises(InvalidRequestError, match="max_replica: must not be below min_replica"):
                await parts.operations.scale("echo", ScalingOverrides(min_replica=3, max_replica=2), dry_run=False)

    asyncio.run(scenario())


def test_lower_concurrency_reaches_every_runner_that_has_more_slots(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            sessions = await started(parts, deployment(replicas=2), 2)
            await parts.operations.scale("echo", ScalingOverrides(max_concurrency=3), dry_run=False)

            for session in sessions.values():
                told = await session.next()
                assert told is not None
                assert told.set_limits.stream_capacity == 3
            assert slots_of(applied(parts)) == 3
            # One that attaches later is told as well.
            await parts.operations.scale("echo", ScalingOverrides(replicas=3), dry_run=False)
            await parts.until(lambda: len(parts.actuator.running) == 3)
            (new,) = parts.actuator.running.keys() - sessions.keys()
            told = await parts.attach(new).next()
            assert told is not None
            assert told.set_limits.stream_capacity == 3

    asyncio.run(scenario())


def test_paused_deployment_keeps_its_replicas_whatever_its_settings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await started(parts, deployment(replicas=None), 1)
            assert await parts.operations.pause("echo", True) == ["echo-1"]
            await parts.operations.scale("echo", ScalingOverrides(min_replica=5), dry_run=False)
            await parts.settle()
            assert len(parts.actuator.running) == 1

            assert await parts.operations.pause("echo", False) == []
            await parts.until(lambda: len(parts.actuator.running) == 5)
            # A number that an operator asks for is no scaling.
            await parts.operations.pause("echo", True)
            await parts.operations.scale("echo", ScalingOverrides(replicas=6), dry_run=False)
            await parts.until(lambda: len(parts.actuator.running) == 6)

    asyncio.run(scenario())


def test_pause_of_all_holds_over_a_restart_and_for_deployments_to_come(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.pause("", True)
        async with controller_parts(tmp_path) as parts:
            wanted = deployment(replicas=None, scaling=ScalingSettings(min_replica=2, max_replica=2))
            await parts.operations.apply([wanted], prune=True)
            await parts.settle()
            assert parts.actuator.running == {}
            with pytest.raises(ConflictError, match="resume all"):
                await parts.operations.pause("echo", False)
            await parts.operations.pause("", False)
            await parts.until(lambda: len(parts.actuator.running) == 2)

    asyncio.run(scenario())


def test_cordon_lasts_over_a_restart_and_can_be_taken_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (replica_id,) = await started(parts, deployment(), 1)
            (changed,) = await parts.operations.change_replicas(
                ReplicaChange.CORDON, [replica_id[-5:]], grace_s=None, dry_run=False
            )
            assert changed.outcome == "is the last choice for new streams"
            actuator, clock = parts.actuator, parts.clock
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            parts.attach(replica_id)
            assert parts.registry.replicas()[0].cordon_reason == "operator"
            await parts.operations.change_replicas(ReplicaChange.UNCORDON, ["echo"], grace_s=None, dry_run=False)
            assert parts.registry.replicas()[0].cordon_reason == ""
            (again,) = await parts.operations.change_replicas(
                ReplicaChange.UNCORDON, ["echo"], grace_s=None, dry_run=False
            )
            assert again.outcome == "was not cordoned"

    asyncio.run(scenario())


def test_drained_replica_is_replaced_at_once_and_ends_with_its_last_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            ((replica_id, session),) = (await started(parts, deployment(), 1)).items()
            parts.reconciler.report(replica_id, session, report(2, active=2))
            (changed,) = await parts.operations.change_replicas(
                ReplicaChange.DRAIN, [replica_id], grace_s=None, dry_run=False
            )
            assert (changed.active_streams, "ends after its last one" in changed.outcome) == (2, True)
            await parts.until(lambda: len(parts.actuator.running) == 2)
            parts.reconciler.report(replica_id, session, report(3, ReplicaState.DRAINING, active=1))
            await parts.settle()
            assert parts.actuator.stopped == []
            parts.reconciler.report(replica_id, session, report(4, ReplicaState.DRAINING))
            await parts.until(lambda: parts.actuator.stopped == [replica_id])

    asyncio.run(scenario())


def test_drain_with_a_grace_is_spread_over_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            ((replica_id, session),) = (await started(parts, deployment(), 1)).items()
            parts.reconciler.report(replica_id, session, report(2, active=2))
            await parts.operations.change_replicas(ReplicaChange.DRAIN, [replica_id], grace_s=50.0, dry_run=False)
            await parts.settle()
            sent = await session.next()
            assert sent is not None
            assert (sent.drain.grace.seconds, sent.drain.spread.seconds) == (50, 5)
            (replica,) = [r for r in parts.registry.replicas() if r.replica_id == replica_id]
            assert replica.drain_deadline == parts.clock.now + 50

    asyncio.run(scenario())


def test_undrained_replica_takes_its_place_back_and_the_one_that_loads_goes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            ((replica_id, session),) = (await started(parts, deployment(), 1)).items()
            parts.reconciler.report(replica_id, session, report(2, active=2))
            await parts.operations.change_replicas(ReplicaChange.DRAIN, [replica_id], grace_s=None, dry_run=False)
            await parts.until(lambda: len(parts.actuator.running) == 2)
            parts.reconciler.report(replica_id, session, report(3, ReplicaState.DRAINING, active=2))

            (changed,) = await parts.operations.change_replicas(
                ReplicaChange.UNDRAIN, [replica_id], grace_s=None, dry_run=False
            )
            assert changed.outcome == "takes new streams again"
            sent = [await session.next() for _ in range(2)]
            assert [response.WhichOneof("kind") for response in sent if response] == ["drain", "undrain"]
            parts.reconciler.report(replica_id, session, report(4, active=2))
            await parts.until(lambda: len(parts.actuator.running) == 1)

            assert list(parts.actuator.running) == [replica_id]
            assert parts.registry.replicas()[0].state is ReplicaState.READY
            assert parts.world.targets["echo-1"] == 1

    asyncio.run(scenario())


def test_unknown_replica_changes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (replica_id,) = await started(parts, deployment(), 1)
            with pytest.raises(NotFoundError, match="no replica 'zzz'"):
                await parts.operations.change_replicas(
                    ReplicaChange.DRAIN, [replica_id, "zzz"], grace_s=None, dry_run=False
                )
            assert parts.registry.replicas()[0].state is ReplicaState.READY

    asyncio.run(scenario())


def test_deployment_that_was_stopped_cannot_be_promoted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment(scaling=ScalingSettings(max_concurrency=8))], prune=True)
            await parts.operations.stop_all(0.0)
            with pytest.raises(ConflictError, match="echo-1 was stopped; apply it again first"):
                await parts.operations.promote("echo", "", deadline_s=None, at_once=False, dry_run=False)

    asyncio.run(scenario())
