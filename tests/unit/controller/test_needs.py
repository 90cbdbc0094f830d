"""A superseded chainlet keeps its last replica while streams are open that may call it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from penstock_controller.chains.needs import RECOVERING, needed_by
from penstock_controller.promotions import CALLERS_S
from penstock_controller.records import Demand, EdgeReport, ReplicaState, Subscription
from penstock_controller.scaling.config import Metric, ScalingConfig, ScalingSettings
from penstock_testing.controller_chains import ChainReplicas, version
from penstock_testing.controller_parts import ControllerParts, controller_parts
from penstock_testing.scaling_kit import config, failed, look, ready, seen, starting

FIRST = ["voice-1", "voice.Hear-1", "voice.Look-1", "voice.Think-1"]
SECOND = ["voice-2", "voice.Hear-2", "voice.Look-2", "voice.Think-2"]
NEEDED = "voice-1 has 2 open streams and may call it"

Scenario = Callable[[ControllerParts, ChainReplicas], Awaitable[None]]


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            await scenario(parts, ChainReplicas(parts))

    asyncio.run(main())


async def superseded(
    parts: ControllerParts, replicas: ChainReplicas, streams: dict[str, int], deadline_s: float | None = None
) -> None:
    """Version 1 with these streams, and version 2 in its place."""
    for number, members in ((1, FIRST), (2, SECOND)):
        await parts.reconciler.creations.create_chain(version(number), "")
        await replicas.serve(*members)
    for deployment_id, active in streams.items():
        await replicas.tell(deployment_id, active)
    await parts.operations.promote("voice-2", "", deadline_s=deadline_s, at_once=True, dry_run=False)
    await parts.settle()


def asked(parts: ControllerParts) -> list[str]:
    """The deployments whose replicas were asked to go."""
    return [deployment_id for deployment_id in [*FIRST, *SECOND] if parts.world.removals.has(deployment_id)]


def rule(parts: ControllerParts, deployment_id: str) -> tuple[str, str]:
    latest = parts.world.scaling(deployment_id).latest
    assert latest is not None
    return latest.reason.rule, latest.reason.text


def test_all_stay_while_the_entrypoint_has_streams_and_the_reason_says_so(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await superseded(parts, replicas, {"voice-1": 2})
        assert asked(parts) == []
        for inner in FIRST[1:]:
            assert rule(parts, inner) == ("needed", NEEDED)

        await replicas.tell("voice-1", 1)
        assert rule(parts, "voice.Look-1")[1] == NEEDED.replace("2 open streams", "1 open stream")
        await replicas.tell("voice-1", 0)
        assert asked(parts) == FIRST

    run(tmp_path, scenario)


def test_a_chainlet_stays_for_any_that_may_call_it_and_only_for_those(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await superseded(parts, replicas, {"voice.Think-1": 1, "voice-2": 5})
        assert rule(parts, "voice.Look-1") == ("needed", "voice.Think-1 has 1 open stream and may call it")
        assert asked(parts) == ["voice-1", "voice.Hear-1"]

    run(tmp_path, scenario)


def test_streams_that_wait_for_a_caller_count(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await superseded(parts, replicas, {"voice-1": 1})
        parts.reconciler.edge_connected(Subscription("e1", 1, "", "", "", None), 1)
        parts.reconciler.edge_reported("e1", 1, EdgeReport(demands={"voice-1": Demand(2, 0.1)}))
        await replicas.tell("voice-1", 0)
        assert needed_by(parts.world, parts.world.deployments["voice.Hear-1"]) == NEEDED
        assert "voice.Hear-1" not in asked(parts)

    run(tmp_path, scenario)


def test_replicas_beyond_the_last_go_as_those_of_any_deployment() -> None:
    held = config(superseded=True, needed_by=NEEDED, scale_down_delay_s=30.0, min_replica=3)
    two = look(held, seen(ready("a"), ready("b", 2)))
    assert (two.victims, two.evaluate_again_at) == ((), 30.0), "the delay holds"
    assert look(held, seen(ready("a")), now=9999.0).victims == ()

    one = look(held, seen(ready("a", 3)))
    assert (one.target, one.reason.rule, one.reason.text, one.reason.blocked) == (1, "needed", NEEDED, NEEDED)
    more = look(held, seen(ready("a", 8)))
    assert (more.target, more.reason.rule) == (2, "all_busy"), "it serves as before"


def test_the_last_replica_stays_whatever_its_state() -> None:
    held = config(superseded=True, needed_by=NEEDED)
    for observation in (seen(starting("a")), seen(failed("a"), crash_looping=1), seen(vacant=1, crash_looping=1)):
        assert look(held, observation, now=9999.0).target == 1
    assert look(config(superseded=True), seen(vacant=1)).target == 0, "as it goes where nobody needs it"


def test_none_is_started_for_streams_that_have_not_called() -> None:
    nothing = look(config(superseded=True, needed_by=NEEDED), seen())
    assert (nothing.target, nothing.reason.rule) == (0, "steady")
    assert look(config(superseded=True, needed_by=NEEDED), seen(waiting=1)).target == 1


def test_with_requests_as_the_metric_the_last_one_stays_too() -> None:
    settings = ScalingSettings(metric=Metric.REQUESTS, scale_down_delay_s=0.0)
    held = ScalingConfig(settings=settings, superseded=True, needed_by=NEEDED)
    decision = look(held, seen(ready("a")), now=9999.0)
    assert (decision.target, decision.victims, decision.reason.rule) == (1, (), "needed")


def test_a_deadline_drains_the_entrypoint_at_once_and_the_others_after_it(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await superseded(parts, replicas, {"voice-1": 2}, deadline_s=40.0)
        drained = {r.deployment_id for r in parts.registry.replicas() if r.drain_deadline is not None}
        assert drained == {"voice-1"}
        parts.clock.now += 30
        await replicas.tell("voice-1", 0, ReplicaState.DRAINING)
        await parts.settle()
        left = {r.deployment_id: r.drain_deadline for r in parts.registry.replicas() if r.deployment_id in FIRST[1:]}
        assert set(left.values()) == {parts.clock.now + 10}, "they have what is left of the deadline"

    run(tmp_path, scenario)


def test_at_the_deadline_a_chainlet_waits_for_the_ends_of_its_callers_streams(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await superseded(parts, replicas, {"voice-1": 2}, deadline_s=40.0)
        replica = parts.registry.replica(replicas.of("voice.Hear-1")[0])
        assert replica is not None
        parts.clock.now += 40.5
        await parts.settle()
        assert replica.drain_deadline is None
        await replicas.tell("voice-1", 0, ReplicaState.DRAINING)
        assert replica.drain_deadline == parts.clock.now
        assert parts.world.deployments["voice.Hear-1"].streams_end_wall is None

    run(tmp_path, scenario)


def test_streams_that_came_since_for_the_old_version_outlive_the_deadline(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await superseded(parts, replicas, {"voice-1": 2}, deadline_s=40.0)
        replica = parts.registry.replica(replicas.of("voice.Hear-1")[0])
        assert replica is not None
        parts.reconciler.edge_connected(Subscription("e1", 1, "", "", "", None), 1)
        for _ in range(12):
            parts.clock.now += 5
            parts.reconciler.edge_reported("e1", 1, EdgeReport(demands={"voice-1": Demand(1, 0.1)}))
            await parts.settle()
        assert parts.clock.now > 1000 + 40 + CALLERS_S
        assert replica.drain_deadline is None
        assert parts.world.deployments["voice.Hear-1"].streams_end_wall is None

    run(tmp_path, scenario)


def test_the_next_controller_drains_nothing_before_it_has_heard_of_the_callers(tmp_path: Path) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            await superseded(parts, ChainReplicas(parts), {"voice-1": 2}, deadline_s=40.0)
            actuator, clock = parts.actuator, parts.clock
        async with controller_parts(tmp_path, actuator=actuator, clock=clock) as parts:
            replicas = ChainReplicas(parts)
            await replicas.serve(*FIRST[1:], *SECOND)
            replica = parts.registry.replica(replicas.of("voice.Hear-1")[0])
            assert replica is not None
            assert (parts.registry.recovering, replica.drain_deadline) == (True, None)
            assert needed_by(parts.world, parts.world.deployments["voice.Hear-1"]) == RECOVERING
            assert asked(parts) == []
            (entry,) = replicas.of("voice-1")
            replicas.sessions[entry] = parts.attach(entry, active=2)
            await parts.settle()
            assert (parts.registry.recovering, replica.drain_deadline) == (False, None)
            await replicas.tell("voice-1", 0, ReplicaState.DRAINING)
            assert replica.drain_deadline is not None

    asyncio.run(main())
