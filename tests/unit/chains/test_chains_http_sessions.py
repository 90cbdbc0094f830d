"""Pools of connections, one per event loop."""

from __future__ import annotations

import asyncio

from aiohttp import ClientSession, web

from penstock.chains.remote.http_sessions import LIFE_S, HttpSessions
from penstock_testing.web_server import web_server


async def answer(_request: web.Request) -> web.StreamResponse:
    return web.Response()


async def borrowed(sessions: HttpSessions) -> ClientSession:
    async with sessions.lent() as session:
        return session


def test_connections_are_used_again() -> None:
    async def run(url: str) -> None:
        sessions = HttpSessions()
        for _ in range(3):
            async with sessions.lent() as session, session.post(url) as response:
                await response.read()

    with web_server(answer=answer) as server:
        asyncio.run(run(f"{server.url}answer"))
        assert (len(server.requests), server.connections) == (3, 1)


def test_each_loop_has_its_own_and_closes_it_at_its_end() -> None:
    sessions = HttpSessions()

    first = asyncio.run(borrowed(sessions))
    second = asyncio.run(borrowed(sessions))

    assert first is not second
    assert first.closed and second.closed


def test_a_pool_is_renewed_every_hour_and_closed_after_its_last_request() -> None:
    now = 0.0

    async def run() -> None:
        nonlocal now
        sessions = HttpSessions(clock=lambda: now)
        old = await borrowed(sessions)
        now = LIFE_S - 1
        async with sessions.lent() as same:
            now = LIFE_S
            new = await borrowed(sessions)
            assert same is old and new is not old
            assert not old.closed
        assert old.closed and not new.closed
        now = 2 * LIFE_S
        assert await borrowed(sessions) is not new
        assert new.closed

    asyncio.run(run())


def test_calls_that_begin_at_the_same_time_share_a_new_pool() -> None:
    now = 0.0

    async def run() -> None:
        nonlocal now
        sessions = HttpSessions(clock=lambda: now)
        await borrowed(sessions)
        now = LIFE_S
        assert len(set(await asyncio.gather(*(borrowed(sessions) for _ in range(5))))) == 1

    asyncio.run(run())
