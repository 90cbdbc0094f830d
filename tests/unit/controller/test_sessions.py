from __future__ import annotations

import asyncio

from penstock.api.control.v1 import control_pb2
from penstock_controller.sessions import OUTBOX_MAX, RunnerSession, RunnerSessions


def test_drain_carries_epoch_grace_and_an_id_of_its_own() -> None:
    async def scenario() -> None:
        sessions, session = RunnerSessions(7), RunnerSession()
        sessions.opened("r1", session)

        ids = [sessions.drain("r1", if_idle=True, grace_s=1.5), sessions.drain("r1", if_idle=False, grace_s=None)]

        first, second = await session.next(), await session.next()
        assert first is not None
        assert second is not None
        assert [first.drain.drain_id, second.drain.drain_id] == ids
        assert (first.epoch, first.drain.if_idle, first.drain.grace.nanos) == (7, True, 500_000_000)
        assert not second.drain.HasField("grace")

    asyncio.run(scenario())


def test_replica_without_a_call_cannot_be_told() -> None:
    async def scenario() -> None:
        sessions, session = RunnerSessions(1), RunnerSession()
        sessions.opened("r1", session)
        sessions.closed("r1", session)

        assert sessions.drain("r1", if_idle=False, grace_s=None) is None

    asyncio.run(scenario())


def test_newer_call_ends_the_older_one() -> None:
    async def scenario() -> None:
        sessions, older, newer = RunnerSessions(1), RunnerSession(), RunnerSession()
        sessions.opened("r1", older)
        sessions.opened("r1", newer)
        sessions.closed("r1", older)

        assert await older.next() is None
        assert sessions.drain("r1", if_idle=False, grace_s=None) is not None

    asyncio.run(scenario())


def test_runner_that_takes_nothing_is_cut_off() -> None:
    async def scenario() -> None:
        session = RunnerSession()
        for _ in range(OUTBOX_MAX + 1):
            session.send(control_pb2.AttachResponse())

        taken = 0
        while await session.next() is not None:
            taken += 1
        assert taken == OUTBOX_MAX

    asyncio.run(scenario())


def test_close_ends_all_calls() -> None:
    async def scenario() -> None:
        sessions, session = RunnerSessions(1), RunnerSession()
        sessions.opened("r1", session)
        sessions.close()

        assert await session.next() is None

    asyncio.run(scenario())
