from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from penstock_controller.errors import InvalidRequestError
from penstock_controller.records import Demand, Deployment, EdgeReport, ReplicaState, Subscription
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.sessions import RunnerSession
from penstock_testing.controller_parts import ControllerParts, controller_parts, deployment, registration, report


def version(number: int, environment: str = "production") -> Deployment:
    settings = ScalingSettings(max_replica=3, max_concurrency=8, scale_down_delay_s=600.0)
    return deployment(f"echo-{number}", None, scaling=settings, environments=(environment,))


async def two_versions(parts: ControllerParts) -> dict[str, RunnerSession]:
    """Version 1 in production with a ready replica that has 2 streams; version 2 in staging, loading."""
    await parts.operations.apply([version(1)], prune=False)
    await parts.until(lambda: len(parts.actuator.running) == 1)
    (first,) = parts.actuator.running
    session = parts.attach(first)
    parts.reconciler.report(first, session, report(2, active=2))
    await parts.operations.apply([version(2, "staging")], prune=False)
    await parts.until(lambda: len(parts.actuator.running) == 2)
    return {first: session}


def environments(parts: ControllerParts) -> dict[str, tuple[str, ...]]:
    return {d.deployment_id: d.environments for d in parts.world.deployments.values()}


async def promote(parts: ControllerParts, name: str, *, deadline_s: float | None = None, at_once: bool = False) -> bool:
    outcome = await parts.operations.promote(name, "production", deadline_s=deadline_s, at_once=at_once, dry_run=False)
    return outcome.pending


def test_environment_moves_when_a_replica_is_ready_and_not_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (first,) = await two_versions(parts)
            assert await promote(parts, "echo-2")
            await parts.settle()
            assert environments(parts) == {"echo-1": ("production",), "echo-2": ("staging",)}

            (second,) = parts.actuator.running.keys() - {first}
            parts.attach(second)
            await parts.until(lambda: environments(parts)["echo-2"] == ("production", "staging"))
            assert parts.world.promotions == []
            assert parts.world.deployments["echo-1"].superseded

    asyncio.run(scenario())


def test_promotion_that_waits_is_completed_by_the_next_controller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (first,) = await two_versions(parts)
            (second,) = parts.actuator.running.keys() - {first}
            await promote(parts, "echo-2")
            actuator, clock = parts.actuator, parts.clock
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            parts.attach(second)
            await parts.until(lambda: "production" in environments(parts)["echo-2"])

    asyncio.run(scenario())


def test_promotion_starts_a_replica_of_a_deployment_at_zero(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (first,) = await two_versions(parts)
            (second,) = parts.actuator.running.keys() - {first}
            session = parts.attach(second)
            await promote(parts, "echo-2")
            # The old one is superseded: idle, it goes at once.
            parts.reconciler.report(first, await _session(parts, first), report(3, active=0))
            await parts.until(lambda: parts.world.removals.has("echo-1"))
            removal = parts.world.removals._by_replica[first]
            parts.reconciler.drain_answered(first, removal.drain_id, True, 0)
            parts.reconciler.report(first, await _session(parts, first), report(4, ReplicaState.DRAINING))
            await parts.until(lambda: list(parts.actuator.running) == [second])

            assert await promote(parts, "echo-1")
            await parts.until(lambda: len(parts.actuator.running) == 2)
            assert session is not None

    asyncio.run(scenario())


def test_old_streams_stay_and_their_replica_takes_no_part_in_the_environment(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            (first,) = await two_versions(parts)
            await promote(parts, "echo-2", at_once=True)
            for _ in range(10):
                parts.clock.now += 1
                await parts.settle()

            assert environments(parts) == {"echo-1": (), "echo-2": ("production", "staging")}
            replica = parts.registry.replica(first)
            assert replica is not None
            assert (replica.state, replica.active_streams) == (ReplicaState.READY, 2)
            assert parts.actuator.stopped == []

    asyncio.run(scenario())


def test_deadline_drains_the_old_replicas_at_once_with_a_grace_and_a_spread(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            ((first, session),) = (await two_versions(parts)).items()
            await promote(parts, "echo-2", deadline_s=40.0, at_once=True)
            await parts.settle()

            sent = await session.next()
            assert sent is not None
            assert (sent.drain.if_idle, sent.drain.grace.seconds, sent.drain.spread.seconds) == (False, 40, 20)
            replica = parts.registry.replica(first)
            assert replica is not None
            assert replica.drain_deadline == parts.clock.now + 40
            kinds = [event.kind for event in parts.store.journal.after(0)]
            assert kinds.count("streams_end_soon") == 1
            assert parts.actuator.stopped == []

    asyncio.run(scenario())


def test_replica_that_was_started_since_the_promotion_keeps_its_streams_at_the_deadline(tmp_path: Path) -> None:
    """It serves clients that ask for the old deployment by its id."""

    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await two_versions(parts)
            parts.clock.now += 1
            await promote(parts, "echo-2", deadline_s=40.0, at_once=True)
            await parts.settle()
            before = set(parts.actuator.running)
            parts.clock.now += 1
            parts.reconciler.edge_connected(Subscription("e1", 1, "", "", "", None), 1)
            parts.reconciler.edge_reported("e1", 1, EdgeReport(demands={"echo-1": Demand(1, 0.1)}))
            await parts.until(lambda: len(parts.actuator.running) == len(before) + 1)
            (late,) = parts.actuator.running.keys() - before
            replica = parts.registry.replica(late)
            assert replica is not None
            session = RunnerSession()
            attached = registration(late, "echo-1", pid=replica.pid)
            parts.reconciler.attach(dataclasses.replace(attached, started_wall=parts.clock.wall()), session)
            parts.reconciler.report(late, session, report(2, active=1))
            for _ in range(5):
                parts.clock.now += 1
                await parts.settle()

            assert replica.drain_deadline is None
            assert len(parts.actuator.running) == len(before) + 1

    asyncio.run(scenario())


def test_rollback_takes_the_replicas_back_that_still_live(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            ((first, session),) = (await two_versions(parts)).items()
            await promote(parts, "echo-2", deadline_s=40.0, at_once=True)
            await parts.settle()
            parts.reconciler.report(first, session, report(3, ReplicaState.DRAINING, active=2))
            await parts.settle()

            await promote(parts, "echo-1", at_once=True)
            parts.reconciler.report(first, session, report(4, active=2))
            await parts.settle()

            kinds = [
                response.WhichOneof("kind") for response in [await session.next(), await session.next()] if response
            ]
            assert kinds == ["drain", "undrain"]
            old = parts.world.deployments["echo-1"]
            assert (old.environments, old.superseded, old.streams_end_wall) == (("production",), False, None)
            replica = parts.registry.replica(first)
            assert replica is not None
            assert replica.state is ReplicaState.READY
            assert len(parts.actuator.started) == 2

    asyncio.run(scenario())


def test_apply_takes_the_place_of_a_promotion_that_waits(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await two_versions(parts)
            await promote(parts, "echo-2")
            await parts.operations.apply([version(1)], prune=False)
            assert parts.world.promotions == []

    asyncio.run(scenario())


def test_fixed_number_of_replicas_ends_with_the_promotion_of_another_deployment(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await two_versions(parts)
            await parts.operations.scale("echo-1", ScalingOverrides(replicas=3, max_concurrency=9), dry_run=False)
            await promote(parts, "echo-2", at_once=True)
            assert parts.world.deployments["echo-1"].overrides == ScalingOverrides(max_concurrency=9)

    asyncio.run(scenario())


def test_promotion_to_where_an_environment_points_already_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await two_versions(parts)
            outcome = await parts.operations.promote("echo-1", "", deadline_s=None, at_once=False, dry_run=False)
            assert (outcome.from_deployment_id, outcome.to_deployment_id) == ("echo-1", "echo-1")
            assert (outcome.open_streams, outcome.pending) == (0, False)

    asyncio.run(scenario())


def test_environment_must_be_a_name(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await two_versions(parts)
            with pytest.raises(InvalidRequestError, match="environment: must be 1 to 63"):
                await parts.operations.promote("echo-1", "prod!", deadline_s=None, at_once=False, dry_run=False)

    asyncio.run(scenario())


async def _session(parts: ControllerParts, replica_id: str) -> RunnerSession:
    session = parts.world.sessions._sessions[replica_id]
    return session
