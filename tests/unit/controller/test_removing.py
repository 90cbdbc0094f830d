from __future__ import annotations

import asyncio

from penstock.api.control.v1 import control_pb2
from penstock_controller.registry import Registry
from penstock_controller.removing import ANSWER_S, Removals
from penstock_controller.sessions import RunnerSession, RunnerSessions
from penstock_testing.controller_parts import registration


class Scene:
    """One replica "r1" of "echo-1" with an open call."""

    def __init__(self) -> None:
        self.registry = Registry(epoch=1, now=0.0)
        self.sessions = RunnerSessions(1)
        self.removals = Removals(self.registry, self.sessions)
        self.session = RunnerSession()
        self.attach(self.session)

    def attach(self, session: RunnerSession) -> None:
        self.registry.attach(registration("r1"), session.number, 0.0)
        self.sessions.opened("r1", session)

    async def sent(self) -> control_pb2.AttachResponse:
        response = await self.session.next()
        assert response is not None
        return response


def test_replica_is_asked_once_and_only_goes_when_it_agrees() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.removals.ask("r1", "echo-1", 0.0)
        scene.removals.ask("r1", "echo-1", 1.0)
        drain = (await scene.sent()).drain
        assert drain.if_idle
        assert scene.removals.has("echo-1")
        assert not scene.removals.has("voice-1")

        removal = scene.removals.answered("r1", drain.drain_id, True)

        assert removal is not None
        assert (removal.replica_id, removal.deployment_id) == ("r1", "echo-1")
        assert not scene.removals.has("echo-1")

    asyncio.run(scenario())


def test_refusal_leaves_the_replica_and_lets_others_be_asked() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.removals.ask("r1", "echo-1", 0.0)
        drain = (await scene.sent()).drain
        scene.registry.take_changed()

        assert scene.removals.answered("r1", drain.drain_id, False) is None
        assert not scene.removals.has("echo-1")
        assert scene.registry.take_changed() == {"echo-1"}

    asyncio.run(scenario())


def test_answer_to_another_drain_is_not_taken_for_ours() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.removals.ask("r1", "echo-1", 0.0)
        assert scene.removals.answered("r1", "1-99", True) is None
        assert scene.removals.has("echo-1")

    asyncio.run(scenario())


def test_drain_is_taken_back_when_no_answer_comes() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.removals.ask("r1", "echo-1", 0.0)
        drain = (await scene.sent()).drain
        assert list(scene.removals.deadlines()) == [ANSWER_S]

        scene.removals.expire(ANSWER_S - 0.1)
        assert scene.removals.has("echo-1")
        scene.removals.expire(ANSWER_S)

        assert not scene.removals.has("echo-1")
        assert (await scene.sent()).WhichOneof("kind") == "undrain"
        assert scene.removals.answered("r1", drain.drain_id, True) is None

    asyncio.run(scenario())


def test_drain_that_was_ordered_meanwhile_is_not_taken_back() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.removals.ask("r1", "echo-1", 0.0)
        await scene.sent()
        scene.registry.order_drain("r1", 1.0)

        scene.removals.expire(ANSWER_S)

        assert not scene.removals.has("echo-1")
        scene.session.close()
        assert await scene.session.next() is None

    asyncio.run(scenario())


def test_question_is_given_up_with_the_call_over_which_it_was_asked() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.removals.ask("r1", "echo-1", 0.0)
        again = RunnerSession()
        scene.attach(again)

        scene.removals.expire(0.1)

        assert not scene.removals.has("echo-1")
        scene.removals.ask("r1", "echo-1", 0.2)
        scene.registry.process_gone("r1")
        scene.removals.expire(0.3)
        assert not scene.removals.has("echo-1")

    asyncio.run(scenario())


def test_replica_without_a_call_is_not_asked() -> None:
    scene = Scene()
    scene.sessions.closed("r1", scene.session)
    scene.removals.ask("r1", "echo-1", 0.0)
    scene.removals.ask("nobody", "echo-1", 0.0)
    assert not scene.removals.has("echo-1")
