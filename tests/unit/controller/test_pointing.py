"""Environments of chains: all chainlets of a version, or none."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock_controller.creating import CreatedDeployment
from penstock_controller.errors import ConflictError
from penstock_controller.records import ReplicaState
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_testing.controller_chains import VOICE, ChainReplicas, environments, pointed_at, version
from penstock_testing.controller_parts import ControllerParts, controller_parts, deployment

FIRST = ["voice-1", "voice.Hear-1", "voice.Look-1", "voice.Think-1"]
SECOND = ["voice-2", "voice.Hear-2", "voice.Look-2", "voice.Think-2"]

Scenario = Callable[[ControllerParts, ChainReplicas], Awaitable[None]]


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            await scenario(parts, ChainReplicas(parts))

    asyncio.run(main())


async def create(parts: ControllerParts, number: int, environment: str = "", **others: object) -> CreatedDeployment:
    chain = version(number, created_wall=parts.clock.wall() + number, **others)  # type: ignore[arg-type]  # by name
    return await parts.reconciler.creations.create_chain(chain, environment)


async def promote(parts: ControllerParts, name: str, **others: object) -> bool:
    asked = {"deadline_s": None, "at_once": False, "dry_run": False, **others}
    return (await parts.operations.promote(name, "", **asked)).pending  # type: ignore[arg-type]  # by name


async def both_serve(parts: ControllerParts, replicas: ChainReplicas) -> None:
    """Version 1 in production and version 2 beside it, all with a ready replica."""
    await create(parts, 1)
    await replicas.serve(*FIRST)
    await create(parts, 2)
    await replicas.serve(*SECOND)


def test_production_points_to_the_first_version_of_a_name_at_once(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        assert await create(parts, 1) == CreatedDeployment("voice", "voice-1", "production", False)
        assert pointed_at(parts) == FIRST
        await replicas.serve(*FIRST)
        assert await create(parts, 1) == CreatedDeployment("voice", "voice-1", "", True)

    run(tmp_path, scenario)


def test_an_environment_moves_when_the_last_chainlet_is_ready_and_for_all_at_once(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await create(parts, 1)
        await replicas.serve(*FIRST)
        assert (await create(parts, 2, "production")).environment == "production"
        for member in SECOND[:-1]:
            await replicas.serve(member)
            assert pointed_at(parts) == FIRST
        await replicas.serve(SECOND[-1])

        assert pointed_at(parts) == SECOND
        assert all(parts.world.deployments[member].superseded for member in FIRST)
        assert parts.world.promotions == []
        promoted = [e.deployment_id for e in parts.store.journal.after(0) if e.kind == "deployment_promoted"]
        assert sorted(map(str, promoted)) == SECOND

    run(tmp_path, scenario)


def test_a_promotion_has_every_chainlet_started_that_is_at_zero(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await both_serve(parts, replicas)
        await promote(parts, "voice-2")
        for member in reversed(FIRST):
            await parts.until(lambda own=member: parts.world.removals.has(own))  # type: ignore[misc]  # a lambda
            await replicas.agree_to_go(member)

        assert await promote(parts, "voice-1")
        for member in FIRST:
            assert pointed_at(parts) == SECOND
            await replicas.serve(member)
        assert pointed_at(parts) == FIRST

    run(tmp_path, scenario)


@pytest.mark.parametrize("name", ["voice-1", "voice"])
def test_a_chain_goes_back_to_what_was_before_as_a_whole(tmp_path: Path, name: str) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await both_serve(parts, replicas)
        # The name means what production points to, so this changes nothing.
        assert not await promote(parts, name)
        assert pointed_at(parts) == FIRST
        assert not await promote(parts, "voice-2")
        assert pointed_at(parts) == SECOND
        assert not await promote(parts, "voice-1")
        assert pointed_at(parts) == FIRST

    run(tmp_path, scenario)


def test_a_chainlet_that_is_no_more_loses_its_pointer_and_gets_it_back(tmp_path: Path) -> None:
    fewer = {"Talk": ["Say"], "Say": []}

    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await create(parts, 1)
        await replicas.serve(*FIRST)
        await promote(parts, "voice-1")
        await create(parts, 2, "production", calls=fewer)
        await replicas.serve("voice-2", "voice.Say-2")

        assert pointed_at(parts) == ["voice-2", "voice.Say-2"]
        assert parts.world.deployments["voice.Look-1"].superseded
        await promote(parts, "voice-1")
        assert pointed_at(parts) == FIRST
        assert parts.world.deployments["voice.Say-2"].superseded

    run(tmp_path, scenario)


def test_other_environments_stay_where_they_are(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await both_serve(parts, replicas)
        await parts.operations.promote("voice-1", "staging", deadline_s=None, at_once=True, dry_run=False)
        await promote(parts, "voice-2")
        assert (pointed_at(parts), pointed_at(parts, "staging")) == (SECOND, FIRST)
        assert not parts.world.deployments["voice.Look-1"].superseded

    run(tmp_path, scenario)


def test_a_waiting_promotion_is_completed_by_the_next_controller(tmp_path: Path) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            replicas = ChainReplicas(parts)
            await create(parts, 1)
            await replicas.serve(*FIRST)
            await create(parts, 2, "production")
            await parts.until(lambda: len(parts.actuator.running) == 8)
            actuator, clock = parts.actuator, parts.clock
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            replicas = ChainReplicas(parts)
            assert parts.world.deployments["voice.Look-2"].chain == version(2).members[3].chain
            await replicas.serve(*SECOND)
            assert pointed_at(parts) == SECOND

    asyncio.run(main())


def test_at_once_does_not_wait_and_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await create(parts, 1)
        await create(parts, 2)
        outcome = await parts.operations.promote("voice-2", "", deadline_s=None, at_once=True, dry_run=True)
        assert (outcome.from_deployment_id, outcome.to_deployment_id) == ("voice-1", "voice-2")
        assert pointed_at(parts) == FIRST
        await promote(parts, "voice-2", at_once=True)
        assert pointed_at(parts) == SECOND

    run(tmp_path, scenario)


def test_a_chainlet_is_promoted_with_its_chain_only(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await both_serve(parts, replicas)
        for name in ("voice.Look-2", "voice.Look"):
            with pytest.raises(ConflictError, match=r"is a chainlet, which is promoted with its chain: promote voice-"):
                await promote(parts, name, at_once=True)
        assert pointed_at(parts) == FIRST

    run(tmp_path, scenario)


def test_a_fixed_number_ends_for_every_chainlet_that_is_replaced(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await both_serve(parts, replicas)
        await parts.operations.scale("voice.Look-1", ScalingOverrides(replicas=2), dry_run=False)
        await promote(parts, "voice-2", at_once=True)
        assert parts.world.deployments["voice.Look-1"].overrides == ScalingOverrides()

    run(tmp_path, scenario)


def test_either_all_of_a_chain_is_stored_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await create(parts, 1)
        put, left = parts.store.put_deployment, iter([True, True])

        def break_down(stored: object) -> None:
            if next(left, None) is None:
                raise sqlite3.OperationalError("disk I/O error")
            put(stored)  # type: ignore[arg-type]  # handed on

        monkeypatch.setattr(parts.store, "put_deployment", break_down)
        with pytest.raises(sqlite3.OperationalError):
            await create(parts, 2, "production")
        assert sorted(d.deployment_id for d in parts.store.deployments()) == FIRST

    run(tmp_path, scenario)


def test_names_of_models_and_chains_differ_both_ways(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await create(parts, 1)
        model = deployment("voice-9", None, environments=())
        with pytest.raises(ConflictError, match="'voice' is a chain here"):
            await parts.reconciler.creations.create(model, "")
        with pytest.raises(ConflictError, match="'voice' is a chain here"):
            await parts.operations.apply([model], prune=False)
        await parts.reconciler.creations.create(deployment("echo-1", None, environments=()), "")
        with pytest.raises(ConflictError, match="'echo' is a model here"):
            await create(parts, 1, chain="echo")
        assert sorted(environments(parts)) == ["echo-1", *FIRST]

        await parts.operations.apply([model], prune=True)
        await parts.settle()
        assert "voice-9" in parts.world.deployments, "what goes in the same breath is in nobody's way"

    run(tmp_path, scenario)


def test_a_chain_is_applied_with_its_environment_and_what_is_not_named_goes(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await parts.operations.apply(
            [deployment("echo-1", 1)], prune=True, chains=[version(1, environment="production")]
        )
        assert pointed_at(parts) == ["echo-1", *FIRST]
        await replicas.serve("echo-1", *FIRST)
        await create(parts, 3, "production", calls=VOICE)

        chains = [version(2, environment="production")]
        assert await parts.operations.apply([], prune=True, chains=chains) == [False]
        assert parts.world.promotions == []
        await parts.settle()
        assert pointed_at(parts) == SECOND
        assert sorted(environments(parts)) == SECOND
        assert await parts.operations.apply([], prune=True, chains=chains) == [True]

    run(tmp_path, scenario)


def test_old_versions_that_nothing_points_to_go_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_controller.creating.UNPROMOTED_KEPT", 1)

    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await parts.operations.pause("", paused=True)
        for number in range(1, 5):
            await create(parts, number, calls={"Talk": ["Say"], "Say": []})
            await parts.settle()
        left = sorted(environments(parts))
        # What production points to, the newest, and the one that is kept.
        assert left == [f"voice{end}" for end in ("-1", "-3", "-4", ".Say-1", ".Say-3", ".Say-4")]

    run(tmp_path, scenario)


def test_a_chainlet_that_still_loads_holds_a_promotion_up(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await create(parts, 1)
        await replicas.serve(*FIRST)
        await create(parts, 2, "production")
        await replicas.serve(*SECOND[1:])
        await parts.until(lambda: bool(replicas.of("voice-2")))
        session = parts.attach(replicas.of("voice-2")[0], ReplicaState.STARTING)
        await parts.settle()
        assert pointed_at(parts) == FIRST
        replicas.sessions[replicas.of("voice-2")[0]] = session
        await replicas.tell("voice-2", 0)
        assert pointed_at(parts) == SECOND

    run(tmp_path, scenario)


def test_a_rollback_takes_the_replicas_of_every_chainlet_back(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await both_serve(parts, replicas)
        for member in FIRST:
            await replicas.tell(member, 2)
        # The streams of inner chainlets end first, but for those that are told otherwise here.
        await promote(parts, "voice-2", deadline_s=600.0)
        await replicas.tell("voice-1", 0, ReplicaState.DRAINING)
        await replicas.tell("voice.Think-1", 0)
        drained = [r for r in parts.registry.replicas() if r.drain_deadline is not None]
        assert {r.deployment_id for r in drained} >= {"voice.Hear-1", "voice.Look-1"}
        started = len(parts.actuator.started)

        await promote(parts, "voice-1", at_once=True)
        await parts.settle()
        for member in ("voice.Hear-1", "voice.Look-1"):
            replica = parts.registry.replica(replicas.of(member)[0])
            assert replica is not None
            assert (replica.state, replica.drain_deadline) == (ReplicaState.READY, None)
        own = [spec.deployment_id for spec in parts.actuator.started[started:]]
        assert "voice.Hear-1" not in own
        assert "voice.Look-1" not in own

    run(tmp_path, scenario)


def test_an_old_version_stays_while_a_chainlet_of_it_has_a_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_controller.creating.UNPROMOTED_KEPT", 0)
    calls = {"Talk": ["Say"], "Say": []}

    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await create(parts, 1, calls=calls)
        await create(parts, 2, calls=calls)
        await replicas.serve("voice-2", "voice.Say-2")
        await parts.operations.scale("voice-2", ScalingOverrides(replicas=0), dry_run=False)
        await parts.settle()
        await replicas.end("voice-2")
        await create(parts, 3, calls=calls)
        assert "voice-2" in environments(parts)

        await parts.operations.scale("voice.Say-2", ScalingOverrides(replicas=0), dry_run=False)
        await parts.settle()
        await replicas.end("voice.Say-2")
        await create(parts, 4, calls=calls)
        await parts.settle()
        assert not {"voice-2", "voice.Say-2"} & environments(parts).keys()

    run(tmp_path, scenario)
