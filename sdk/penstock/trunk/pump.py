"""Moves batches between an endpoint and a grpc.aio call. The only part of the trunk that does I/O.

grpc.aio cancels the whole call when a pending `read` or `write` is cancelled, so each trunk has one reader and one
writer that nobody cancels: they end when the call ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import grpc.aio

from penstock.trunk.endpoint import Endpoint
from penstock.trunk.pacing import Pacer


class Call(Protocol):
    """What client calls and servicer contexts have in common."""

    async def read(self) -> Any:
        """Returns the next batch in bytes, or grpc.aio.EOF."""

    async def write(self, message: bytes, /) -> None:
        """Sends one batch; returns when there is room for the next."""


class Writer:
    """Writes batches while the endpoint has any.

    Args:
        pacer: spreads the writes under sustained load, or None to write at once always.
    """

    def __init__(self, pacer: Pacer | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._pacer = pacer
        self.is_stopped = False

    def wake(self) -> None:
        """Tells the writer that there is output. Loop thread only."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def stop(self) -> None:
        """Ends `run` as soon as everything that is pending has been written."""
        self.is_stopped = True
        self.wake()

    async def run(self, call: Call, endpoint: Endpoint) -> None:
        """Writes until `stop`. Raises what the call's `write` raises."""
        pacer = self._pacer
        loop = self._loop
        while True:
            payload = endpoint.take_batch()
            if payload is None:
                if self.is_stopped or endpoint.fault is not None:
                    return
                self._waiter = loop.create_future()
                await self._waiter
                self._waiter = None
                continue
            items = endpoint.taken_items
            started = loop.time()
            await call.write(payload)
            if pacer is not None:
                pause = pacer.wrote(items, len(payload), started, loop.time())
                if pause > 0:
                    await asyncio.sleep(pause)


async def read_all(call: Call, endpoint: Endpoint, after_batch: Callable[[], None] | None = None) -> str:
    """Feeds the endpoint until the call ends or the peer breaks the protocol. Returns why it ended.

    `after_batch` is called after each batch, so that what its items caused can be flushed together.
    """
    while True:
        payload = await call.read()
        if payload is grpc.aio.EOF:
            return "call was ended by the peer"
        fault = endpoint.receive(payload)
        if after_batch is not None:
            after_batch()
        if fault is not None:
            return fault.detail
