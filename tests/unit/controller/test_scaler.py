from __future__ import annotations

import asyncio
from pathlib import Path

from penstock.api.control.v1 import control_pb2
from penstock_controller.records import Demand, Deployment, EdgeReport, ReplicaState, Subscription
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.sessions import RunnerSession
from penstock_testing.controller_parts import ControllerParts, controller_parts, deployment, report


def scaled(**changes: object) -> Deployment:
    """A deployment that is scaled by load, with eight slots per replica."""
    values: dict[str, object] = {
        "min_replica": 1,
        "max_replica": 3,
        "max_concurrency": 8,
        "scale_down_delay_s": 30.0,
        "scale_down_interval_s": 0.0,
        **changes,
    }
    return deployment(replicas=None, scaling=ScalingSettings(**values))  # type: ignore[arg-type]  # fields by name


class Runners:
    """The runners of one deployment: each attaches as soon as it was started."""

    def __init__(self, parts: ControllerParts) -> None:
        self._parts = parts
        self.sessions: dict[str, RunnerSession] = {}
        self._active: dict[str, int] = {}
        self._sequence = 1

    async def attach_all(self, count: int) -> list[str]:
        await self._parts.until(lambda: len(self._parts.actuator.running) == count)
        for replica_id in self._parts.actuator.running:
            if replica_id not in self.sessions:
                self.sessions[replica_id] = self._parts.attach(replica_id)
        return list(self._parts.actuator.running)

    def tell(self, replica_id: str, active: int, state: ReplicaState = ReplicaState.READY) -> None:
        self._sequence += 1
        self._active[replica_id] = active
        told = report(self._sequence, state, active=active)
        self._parts.reconciler.report(replica_id, self.sessions[replica_id], told)

    async def wait(self, seconds: float) -> None:
        """Lets time pass, with the heartbeats of all runners."""
        until = self._parts.clock.now + seconds
        while self._parts.clock.now < until:
            self._parts.clock.now = min(until, self._parts.clock.now + 2)
            for replica_id in self._parts.actuator.running:
                self.tell(replica_id, self._active.get(replica_id, 0))
            await self._parts.settle()

    async def answer_removal(self, replica_id: str, *, accepted: bool) -> control_pb2.Drain:
        response = await self.sessions[replica_id].next()
        assert response is not None
        drain = response.drain
        self._parts.reconciler.drain_answered(replica_id, drain.drain_id, accepted, 0 if accepted else 1)
        return drain


def test_new_deployment_starts_one_replica_although_its_least_number_is_zero(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled(min_replica=0)], prune=True)
            await Runners(parts).attach_all(1)
            assert parts.world.targets["echo-1"] == 1

    asyncio.run(scenario())


def test_busy_replica_brings_another_and_only_one_while_that_starts(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled()], prune=True)
            runners = Runners(parts)
            (first,) = await runners.attach_all(1)
            runners.tell(first, 7)
            await parts.until(lambda: len(parts.actuator.running) == 2)
            await parts.settle()
            assert len(parts.actuator.running) == 2

            decision = parts.world.scaling("echo-1").last_change
            assert decision is not None
            assert (decision.rule, decision.from_replicas, decision.to_replicas) == ("all_busy", 1, 2)
            assert decision.inputs["active_streams"] == 7

    asyncio.run(scenario())


def test_streams_that_wait_bring_a_deployment_back_from_zero(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled(min_replica=0)], prune=True)
            runners = Runners(parts)
            (first,) = await runners.attach_all(1)
            await runners.wait(34)
            await runners.answer_removal(first, accepted=True)
            runners.tell(first, 0, ReplicaState.DRAINING)
            await parts.until(lambda: parts.actuator.running == {})

            parts.reconciler.edge_connected(Subscription("e1", 1, "", "", "", None), 1)
            parts.reconciler.edge_reported("e1", 1, EdgeReport(demands={"echo-1": Demand(1, 0.1)}))
            await parts.until(lambda: len(parts.actuator.running) == 1)

    asyncio.run(scenario())


def test_idle_replica_goes_only_after_it_has_agreed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled()], prune=True)
            runners = Runners(parts)
            (first,) = await runners.attach_all(1)
            runners.tell(first, 7)
            first, second = await runners.attach_all(2)
            runners.tell(first, 1)
            await runners.wait(28)
            assert not parts.world.removals.has("echo-1")
            await runners.wait(6)
            assert parts.world.removals.has("echo-1")
            assert parts.world.targets["echo-1"] == 2

            assert (await runners.answer_removal(second, accepted=True)).if_idle
            assert parts.world.targets["echo-1"] == 1
            runners.tell(second, 0, ReplicaState.DRAINING)
            await parts.until(lambda: parts.actuator.stopped == [second])

            assert list(parts.actuator.running) == [first]

    asyncio.run(scenario())


def test_replica_whose_status_overtakes_its_answer_is_not_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled()], prune=True)
            runners = Runners(parts)
            (first,) = await runners.attach_all(1)
            runners.tell(first, 7)
            first, second = await runners.attach_all(2)
            runners.tell(first, 1)
            await runners.wait(34)
            runners.tell(second, 0, ReplicaState.DRAINING)
            await parts.settle()
            await runners.answer_removal(second, accepted=True)
            await parts.until(lambda: second in parts.actuator.stopped)
            await parts.settle()

            assert parts.world.targets["echo-1"] == 1
            assert list(parts.actuator.running) == [first]
            assert len(parts.actuator.started) == 2

    asyncio.run(scenario())


def test_replica_that_refuses_because_it_ends_by_itself_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled()], prune=True)
            runners = Runners(parts)
            (first,) = await runners.attach_all(1)
            runners.tell(first, 7)
            first, second = await runners.attach_all(2)
            runners.tell(first, 1)
            await runners.wait(34)
            runners.tell(second, 1, ReplicaState.DRAINING)
            await runners.answer_removal(second, accepted=False)
            await parts.until(lambda: len(parts.actuator.running) == 3)
            assert parts.world.targets["echo-1"] == 2

    asyncio.run(scenario())


def test_replica_that_has_got_a_stream_meanwhile_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled()], prune=True)
            runners = Runners(parts)
            (first,) = await runners.attach_all(1)
            runners.tell(first, 7)
            first, second = await runners.attach_all(2)
            runners.tell(first, 1)
            await runners.wait(34)
            await runners.answer_removal(second, accepted=False)
            runners.tell(second, 1)
            await runners.wait(1000)

            assert parts.world.targets["echo-1"] == 2
            assert parts.actuator.stopped == []
            assert not any(r.state is ReplicaState.DRAINING for r in parts.registry.replicas())

    asyncio.run(scenario())


def test_runner_that_agreed_after_the_question_was_given_up_is_told_to_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled(min_replica=0)], prune=True)
            runners = Runners(parts)
            (first,) = await runners.attach_all(1)
            await runners.wait(34)
            # The loop of the runner is blocked: its control thread goes on reporting.
            await runners.wait(34)

            sent = [await runners.sessions[first].next() for _ in range(2)]
            assert [response.WhichOneof("kind") for response in sent if response] == ["drain", "undrain"]
            assert parts.actuator.stopped == []

    asyncio.run(scenario())


def test_surplus_replica_becomes_the_last_choice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([scaled(cordon_surplus=True)], prune=True)
            runners = Runners(parts)
            replicas: list[str] = []
            for count in (1, 2, 3):
                replicas = await runners.attach_all(count)
                for replica_id in replicas[:2]:
                    runners.tell(replica_id, 7)
            for replica_id, active in zip(replicas, (3, 1, 2), strict=True):
                runners.tell(replica_id, active)
            await parts.settle()

            reasons = {r.replica_id: r.cordon_reason for r in parts.registry.replicas()}
            assert reasons[replicas[1]] == "surplus"
            assert list(reasons.values()).count("") >= 1
            rows = {row.replica_id: row.cordoned for row in parts.registry.route_table(parts.clock()).replicas}
            assert rows[replicas[1]]

    asyncio.run(scenario())
