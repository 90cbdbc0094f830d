from __future__ import annotations

import asyncio

from penstock.api.control.v1 import control_pb2
from penstock_controller.reloading import ReloadOutcome, Reloads
from penstock_controller.sessions import RunnerSession, RunnerSessions


async def reload_id(session: RunnerSession) -> str:
    response = await session.next()
    assert response is not None
    assert response.epoch == 4
    return response.reload.reload_id


def test_each_replica_answers_for_itself() -> None:
    async def scenario() -> None:
        sessions = RunnerSessions(epoch=4)
        reloads = Reloads(sessions)
        one, other = RunnerSession(), RunnerSession()
        sessions.opened("r1", one)
        sessions.opened("r2", other)
        asked = asyncio.create_task(reloads.ask("echo-1", ["r1", "r2", "r3"]))
        first, second = await reload_id(one), await reload_id(other)
        assert first != second
        assert reloads.is_under_way("echo-1")
        # What answers for another replica does not count.
        reloads.answered("r2", control_pb2.ReloadResult(reload_id=first, reloaded=False, message="wrong"))
        reloads.answered("r1", control_pb2.ReloadResult(reload_id=first, reloaded=True))
        reloads.answered(
            "r2", control_pb2.ReloadResult(reload_id=second, message="__init__ has changed", needs_restart=True)
        )
        done, changed, gone = await asked
        assert done == ReloadOutcome("r1", True)
        assert changed == ReloadOutcome("r2", False, "__init__ has changed", True)
        assert (gone.reloaded, "line to the controller is broken" in gone.message) == (False, True)
        assert not reloads.is_under_way("echo-1")

    asyncio.run(scenario())


def test_one_that_does_not_answer_is_not_waited_for_without_end() -> None:
    async def scenario() -> None:
        sessions = RunnerSessions(epoch=4)
        reloads = Reloads(sessions)
        session = RunnerSession()
        sessions.opened("r1", session)
        (outcome,) = await reloads.ask("echo-1", ["r1"], timeout_s=0.01)
        assert "has not answered within 0.01 s" in outcome.message
        # Late, and so without an effect.
        reloads.answered("r1", control_pb2.ReloadResult(reload_id=await reload_id(session), reloaded=True))

    asyncio.run(scenario())


def test_nobody_to_ask_is_no_reload() -> None:
    assert asyncio.run(Reloads(RunnerSessions(epoch=1)).ask("echo-1", [])) == []
