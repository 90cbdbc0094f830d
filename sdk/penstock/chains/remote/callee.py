"""A chainlet as its callers reach it: attempts, timeouts, and a limit on how many calls are under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.options import RPCOptions
from penstock.chains.remote.background_loop import background_loop
from penstock.chains.remote.call_metrics import counts_of
from penstock.chains.remote.concurrency import ConcurrencyLimit
from penstock.chains.remote.rpc_errors import raise_remote
from penstock.chains.remote.transport import Call, Reply, StreamReply, Transport

ERROR_BYTES_MAX = 1024 * 1024
"""Longest body of an error that is read from a stream."""

_T = TypeVar("_T")
_log = logging.getLogger("penstock.chains")


class Callee:
    """Makes calls to one chainlet.

    Args:
        name: its display name, for errors, logs and metrics.
        options: of the dependency.
        transport: the way there.
        loop: the loop that `transport` belongs to; None when it works on any.
        detour: gives a way there that works on any loop, for a call that blocks `loop` itself.
    """

    def __init__(
        self,
        name: str,
        options: RPCOptions,
        transport: Transport,
        loop: asyncio.AbstractEventLoop | None = None,
        detour: Callable[[], Transport] | None = None,
    ) -> None:
        self.name = name
        self.transport = transport
        self.attempts = max(1, options.retries)
        self._timeout_s = options.timeout_sec
        self._timeout_text = f"Timeout calling remote Chainlet `{name}` ({options.timeout_sec} seconds limit)."
        self._places = options.concurrency_limit
        self._loop = loop
        self._detour = detour
        self._has_told_of_detour = False
        self._limits: WeakKeyDictionary[asyncio.AbstractEventLoop, ConcurrencyLimit] = WeakKeyDictionary()

    async def call(self, call: Call) -> Reply:
        """Returns a response whose status says that the call went well. Any event loop.

        Raises:
            TimeoutError: the last attempt took too long.
            PenstockError: there was no response.
            Exception: whatever the callee raised, as raise_remote has it.
        """
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await self._call(call, self.transport)
        return await asyncio.wrap_future(self._on(self._loop, self._call(call, self.transport)))

    def call_blocking(self, call: Call) -> Reply:
        """Does what `call` does, and blocks this thread until then, also if it is the thread of an event loop.

        Raises:
            ChainsRuntimeError: this is the thread whose event loop has to do the work, and there is no detour.
        """
        loop, transport = self._loop or background_loop(), self.transport
        if _runs_here(loop):
            loop, transport = self._beside()
        future = self._on(loop, self._call(call, transport))
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _beside(self) -> tuple[asyncio.AbstractEventLoop, Transport]:
        """Returns a loop and a transport for a call that blocks the running loop."""
        loop = background_loop()
        if self._detour is None or _runs_here(loop):
            raise ChainsRuntimeError(
                f"A synchronous call to `{self.name}` was made on the event loop, which would wait for itself. Call it "
                "from a synchronous `run_remote` (those run on threads), or make the callee's `run_remote` `async`."
            )
        if not self._has_told_of_detour:
            self._has_told_of_detour = True
            _log.warning(
                "A synchronous call to `%s` in an `async` `run_remote` stops every other request of this replica until "
                "it ends. Make the `run_remote` of `%s` `async`.",
                self.name,
                self.name,
            )
        return loop, self._detour()

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[StreamReply]:
        """Enters when a response has begun that says that the call goes well; until then further attempts are made.

        Leaving early cancels the callee.

        Raises:
            ChainsRuntimeError: this is not the loop that the transport belongs to.
            TimeoutError: the last attempt did not begin in time.
            PenstockError: there is no response.
            Exception: whatever the callee raised before it began.
        """
        self.check_loop()
        async with self.limit():
            attempt = 0
            while True:
                attempt += 1
                async with AsyncExitStack() as stack:
                    try:
                        reply = await self._begun(call, stack)
                    except Exception as exc:
                        if attempt >= self.attempts:
                            self._log_timeout(exc)
                            raise
                        _log.info("Retrying `%s`, attempt %d", self.name, attempt)
                        continue
                    yield reply
                    return

    async def items(self, reply: StreamReply) -> AsyncGenerator[bytes, None]:
        """Yields the items of a response that `stream` has given.

        Raises:
            TimeoutError: an item took longer than one attempt may.
            PenstockError: the rest will not come.
        """
        items = reply.items()
        try:
            while True:
                limit = asyncio.timeout(self._timeout_s)
                try:
                    async with limit:
                        item = await anext(items, None)
                except TimeoutError:
                    if not limit.expired():
                        raise
                    error = TimeoutError(self._timeout_text)
                    self._log_timeout(error)
                    raise error from None
                if item is None:
                    return
                yield item
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()

    def limit(self) -> ConcurrencyLimit:
        """Returns the places of the running loop."""
        loop = asyncio.get_running_loop()
        limit = self._limits.get(loop)
        if limit is None:
            limit = self._limits[loop] = ConcurrencyLimit(self._places, self.name, counts_of(self.name))
        return limit

    def check_loop(self) -> None:
        """Raises ChainsRuntimeError when the transport does not belong to the running loop."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise ChainsRuntimeError(
                f"A stream of `{self.name}` was opened on another event loop than the chainlet's own. Open it in an "
                "`async` `run_remote`, without `asyncio.run` in between."
            )

    async def _call(self, call: Call, transport: Transport) -> Reply:
        async with self.limit():
            attempt = 0
            while True:
                attempt += 1
                try:
                    return await self._attempt(call, transport)
                except Exception as exc:
                    if attempt >= self.attempts:
                        self._log_timeout(exc)
                        raise
                    _log.info("Retrying `%s`, attempt %d", self.name, attempt)

    async def _attempt(self, call: Call, transport: Transport) -> Reply:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                reply = await transport.call(call)
        except TimeoutError:
            if limit.expired():
                raise TimeoutError(self._timeout_text) from None
            raise
        if not 200 <= reply.status < 300:
            raise_remote(reply.status, reply.body, reply.headers, self.name)
        return reply

    async def _begun(self, call: Call, stack: AsyncExitStack) -> StreamReply:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                reply = await stack.enter_async_context(self.transport.stream(call))
                error = b"" if 200 <= reply.status < 300 else await _error_body(reply)
        except TimeoutError:
            if limit.expired():
                raise TimeoutError(self._timeout_text) from None
            raise
        if not 200 <= reply.status < 300:
            raise_remote(reply.status, error, reply.headers, self.name)
        return reply

    def _on(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        try:
            return asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:
            work.close()
            raise ChainsRuntimeError(f"`{self.name}` cannot be called any more: this process is ending.") from None

    def _log_timeout(self, exc: Exception) -> None:
        if type(exc) is TimeoutError and str(exc) == self._timeout_text:
            _log.warning(self._timeout_text)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _error_body(reply: StreamReply) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in reply.items():
        size += len(part)
        if size > ERROR_BYTES_MAX:
            break
        parts.append(part)
    return b"".join(parts)
