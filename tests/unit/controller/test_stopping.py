from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from penstock_controller.actuators.base import ReplicaExit, ReplicaSpec
from penstock_controller.bell import Bell
from penstock_controller.records import ProcessState, ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.sessions import RunnerSession, RunnerSessions
from penstock_controller.stopping import CLOSE_MARGIN_S, Stopper
from penstock_testing.controller_parts import FakeActuator, ManualClock, registration, report


class Setup:
    """One replica "r1" and a stopper."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = Registry(epoch=1, now=self.clock())
        self.sessions = RunnerSessions(1)
        self.actuator = FakeActuator()
        self.changes = Bell()
        self.stopper = Stopper(self.registry, self.sessions, self.actuator, self.changes, self.clock)
        self.session = RunnerSession()

    def ended(self, ended: ReplicaExit) -> None:
        self.registry.process_gone(ended.replica_id)

    async def start(self, state: ReplicaState, active: int = 0) -> None:
        await self.actuator.open(self.ended)
        process = await self.actuator.ensure(ReplicaSpec("r1", "echo-1", "echo", "", "/models/echo"))
        self.registry.started("r1", "echo-1", pid=process.pid, started_wall=0.0, now=self.clock())
        self.registry.attach(
            registration("r1", state=state, pid=process.pid, active=active), self.session.number, self.clock()
        )
        self.sessions.opened("r1", self.session)

    def report(self, sequence: int, state: ReplicaState, active: int) -> None:
        self.registry.report("r1", self.session.number, report(sequence, state, active=active), self.clock())
        self.changes.ring()

    async def settle(self) -> None:
        for _ in range(10):
            self.changes.ring()
            await asyncio.sleep(0)


def run(scenario: Callable[[Setup], Coroutine[None, None, None]]) -> None:
    async def body() -> None:
        setup = Setup()
        try:
            await scenario(setup)
        finally:
            await setup.stopper.close()

    asyncio.run(body())


def test_streams_have_all_the_time_they_want_without_a_deadline() -> None:
    async def scenario(s: Setup) -> None:
        await s.start(ReplicaState.READY, active=2)
        stop = s.stopper.request("r1", None)
        await s.settle()
        sent = await s.session.next()
        assert sent is not None
        assert sent.epoch == 1
        assert not sent.drain.HasField("grace")
        s.report(2, ReplicaState.DRAINING, 2)
        s.clock.now += 1e6
        await s.settle()
        assert not stop.done()
        s.report(3, ReplicaState.DRAINING, 0)
        assert await stop == 0
        assert s.actuator.stopped == ["r1"]

    run(scenario)


def test_streams_are_cut_and_counted_at_the_deadline() -> None:
    async def scenario(s: Setup) -> None:
        await s.start(ReplicaState.READY, active=2)
        stop = s.stopper.request("r1", s.clock() + 10)
        await s.settle()
        sent = await s.session.next()
        assert sent is not None
        assert sent.drain.grace.seconds == 10
        s.clock.now += 10
        await s.settle()
        assert s.actuator.stopped == []
        s.clock.now += CLOSE_MARGIN_S
        await s.settle()
        assert await stop == 2

    run(scenario)


@pytest.mark.parametrize("state", [ReplicaState.STARTING, ReplicaState.FAILED])
def test_replica_without_a_model_is_ended_at_once(state: ReplicaState) -> None:
    async def scenario(s: Setup) -> None:
        await s.start(state)
        assert await s.stopper.request("r1", None) == 0

    run(scenario)


def test_earlier_deadline_takes_the_place_of_a_later_one() -> None:
    async def scenario(s: Setup) -> None:
        await s.start(ReplicaState.READY, active=1)
        stop = s.stopper.request("r1", s.clock() + 100)
        await s.settle()
        assert s.stopper.request("r1", s.clock() + 1) is stop
        assert s.stopper.request("r1", s.clock() + 50) is stop
        await s.settle()
        graces = [(await s.session.next()), (await s.session.next())]
        assert [sent.drain.grace.seconds for sent in graces if sent] == [100, 1]

    run(scenario)


def test_replica_that_attaches_again_is_told_again() -> None:
    async def scenario(s: Setup) -> None:
        await s.start(ReplicaState.READY, active=1)
        s.stopper.request("r1", None)
        await s.settle()
        s.registry.detach("r1", s.session.number)
        s.sessions.closed("r1", s.session)
        again = RunnerSession()
        s.registry.attach(registration("r1", pid=100, active=1), again.number, s.clock())
        s.sessions.opened("r1", again)
        await s.settle()
        sent = await again.next()
        assert sent is not None
        assert sent.WhichOneof("kind") == "drain"

    run(scenario)


def test_replica_that_is_gone_is_stopped() -> None:
    async def scenario(s: Setup) -> None:
        assert await s.stopper.request("nobody", None) == 0

    run(scenario)


def test_adopted_replica_that_has_not_attached_yet_is_not_ended_on_a_guess() -> None:
    """It may hold streams of the time before the controller restarted."""

    async def scenario(s: Setup) -> None:
        await s.actuator.open(s.ended)
        await s.actuator.ensure(ReplicaSpec("r1", "echo-1", "echo", "", "/models/echo"))
        s.registry.expect("r1", "echo-1", ProcessState.RUNNING, pid=100, now=s.clock())
        stop = s.stopper.request("r1", None)
        s.clock.now += 1e6
        await s.settle()
        assert not stop.done()

        s.registry.attach(registration("r1", pid=100, active=2), s.session.number, s.clock())
        s.sessions.opened("r1", s.session)
        await s.settle()
        assert s.actuator.stopped == []
        s.report(2, ReplicaState.DRAINING, 0)
        assert await stop == 0

    run(scenario)


def test_adopted_replica_that_never_attaches_is_ended_after_the_deadline() -> None:
    async def scenario(s: Setup) -> None:
        await s.actuator.open(s.ended)
        await s.actuator.ensure(ReplicaSpec("r1", "echo-1", "echo", "", "/models/echo"))
        s.registry.expect("r1", "echo-1", ProcessState.RUNNING, pid=100, now=s.clock())
        stop = s.stopper.request("r1", s.clock() + 10)
        s.clock.now += 10
        await s.settle()
        assert not stop.done()
        s.clock.now += CLOSE_MARGIN_S
        await s.settle()
        assert stop.done()

    run(scenario)


def test_stop_that_is_taken_back_in_time_leaves_the_replica_admitting() -> None:
    async def scenario(s: Setup) -> None:
        await s.start(ReplicaState.READY, active=1)
        stop = s.stopper.request("r1", None)
        await s.settle()
        assert s.stopper.is_stopping("r1")

        assert s.stopper.take_back("r1")
        await s.settle()

        sent = [await s.session.next(), await s.session.next()]
        assert [response.WhichOneof("kind") for response in sent if response] == ["drain", "undrain"]
        assert stop.cancelled()
        assert not s.stopper.is_stopping("r1")
        assert s.actuator.stopped == []

    run(scenario)


def test_ends_of_streams_are_spread_over_the_last_part_of_the_grace() -> None:
    async def scenario(s: Setup) -> None:
        await s.start(ReplicaState.READY, active=5)
        stop = s.stopper.request("r1", s.clock() + 20, 8.0)
        await s.settle()
        sent = await s.session.next()
        assert sent is not None
        assert (sent.drain.grace.seconds, sent.drain.spread.seconds) == (20, 8)
        s.clock.now += 12
        await s.settle()
        s.report(2, ReplicaState.DRAINING, 2)
        s.clock.now += 8
        s.report(3, ReplicaState.DRAINING, 0)
        # Those that were open when the ends began.
        assert await stop == 5

    run(scenario)
