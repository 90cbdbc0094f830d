"""Connections of calls over HTTP: one pool per event loop, renewed every hour, closed when its loop ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import aiohttp

LIFE_S = 3600.0
"""Age from which a pool gets no new requests."""

DNS_TTL_S = 300
"""Time for which a name keeps its address."""

KEEP_ALIVE_S = 4.0
"""Time for which an idle connection is kept: less than the 5 s after which uvicorn, and so Truss, closes it."""

CONNECT_TIMEOUT_S = 60.0


class _Pool:
    """One session, with the number of requests that use it."""

    def __init__(self, session: aiohttp.ClientSession, born: float) -> None:
        self.session = session
        self.born = born
        self.users = 0
        self.is_old = False
        self.keeper = _open_until_its_loop_ends(session)


class HttpSessions:
    """The pools of a process.

    Args:
        clock: seconds, as time.monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Gives the session of the running loop for one request. It follows redirects and has no timeout of its own."""
        pool = await self._pool()
        pool.users += 1
        try:
            yield pool.session
        finally:
            pool.users -= 1
            if pool.is_old and pool.users == 0:
                await pool.keeper.aclose()

    async def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        old = self._pools.get(loop)
        if old is not None and self._clock() - old.born < LIFE_S:
            return old
        pool = self._pools[loop] = _Pool(_session(), self._clock())
        await anext(pool.keeper)
        if old is not None:
            old.is_old = True
            if old.users == 0:
                await old.keeper.aclose()
        return pool


def _session() -> aiohttp.ClientSession:
    # How many connections there may be is the business of each stub (`concurrency_limit`).
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=DNS_TTL_S, keepalive_timeout=KEEP_ALIVE_S)
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


async def _open_until_its_loop_ends(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    """Closes `session` when it is closed itself: by `asyncio.run`, and every other loop that ends its generators."""
    try:
        yield
    finally:
        await session.close()
