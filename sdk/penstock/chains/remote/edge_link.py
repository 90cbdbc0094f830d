"""The one trunk over which a runner calls other chainlets: to some edge, and to another one when that is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TypeVar

from penstock.close_codes import EndCode
from penstock.errors import error_for
from penstock.trunk.connection import Trunk

_T = TypeVar("_T")

EDGE_WAIT_S = 10.0
"""Time for which a call waits for an edge that can be reached."""

RETRY_S_MIN = 0.1
"""Pause before an edge that could not be reached is tried again; it doubles with each failure in a row."""

RETRY_S_MAX = 2.0

AWAY_S = 30.0
"""Time for which an edge that has asked to be left is not dialled again."""


class EdgeLink:
    """Loop thread only. Nothing is dialled before the first call.

    Args:
        name: this runner's id, which edges log.
        on_lost: called with address, cause and number of streams when a trunk that was in use is lost.
    """

    def __init__(
        self,
        name: str,
        *,
        on_lost: Callable[[str, str, int], None] = lambda _address, _detail, _streams: None,
        choose: Callable[[Sequence[str]], str] = random.choice,
    ) -> None:
        self.trunk_name = name
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._choose = choose
        self._addresses: tuple[str, ...] = ()
        self._trunk: Trunk | None = None
        """The one for new calls; it may be on its way still."""
        self._leaving: dict[Trunk, None] = {}
        """Those that carry calls to their end; the newest also takes new ones while there is no other edge."""
        self._all: set[Trunk] = set()
        self._not_before: dict[str, float] = {}
        """When an address may be dialled again."""
        self._failures: dict[str, int] = {}
        """Failures in a row."""
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_stopped = False

    def set_addresses(self, addresses: tuple[str, ...]) -> None:
        """Edges are at these addresses from now on; a trunk to another one takes no new calls."""
        self._addresses = addresses
        self._not_before = {key: at for key, at in self._not_before.items() if key in addresses}
        self._failures = {key: count for key, count in self._failures.items() if key in addresses}
        trunk = self._trunk
        if trunk is not None and addresses and trunk.address not in addresses:
            self.leave(trunk)
        self._wake()

    def ready(self) -> Trunk | None:
        """Returns the trunk for new calls, if it is there."""
        trunk = self._trunk
        return trunk if trunk is not None and trunk.is_ready and not trunk.is_worn else None

    async def trunk(self) -> Trunk:
        """As `ready`, after the time that it takes.

        Raises:
            PenstockError: no edge was reached in EDGE_WAIT_S.
        """
        deadline = self._loop.time() + EDGE_WAIT_S
        while not self._is_stopped:
            found = self._find()
            if found is not None:
                return found
            now = self._loop.time()
            if now >= deadline:
                break
            await self._wait(min(deadline, self._next_dial(now)))
        where = ", ".join(self._addresses) or "none is known"
        reason = "This replica stops." if self._is_stopped else f"No edge was reached in {EDGE_WAIT_S:g} s ({where})."
        raise error_for(EndCode.REPLICA_LOST, reason=reason)

    def leave(self, trunk: Trunk) -> None:
        """Opens no more streams on `trunk`, if another edge can be reached."""
        if trunk is self._trunk:
            self._trunk = None
            self._leaving[trunk] = None
        self._not_before[trunk.address] = self._loop.time() + AWAY_S

    async def stop(self) -> None:
        """Ends every trunk, and with them what they carry."""
        self._is_stopped = True
        trunks = list(self._all)
        for trunk in trunks:
            trunk.stop()
        for trunk in trunks:
            await trunk.wait_ended()
        self._wake()

    def _find(self) -> Trunk | None:
        """Returns a trunk that can be used; begins to dial when there is none."""
        trunk = self._trunk
        if trunk is not None and trunk.is_worn:
            self._leaving[trunk] = None
            self._trunk, trunk = None, None
        if trunk is None:
            trunk = self._dial()
        if trunk is not None:
            return trunk if trunk.is_ready else None
        return next((one for one in reversed(self._leaving) if one.is_ready), None)

    def _dial(self) -> Trunk | None:
        now = self._loop.time()
        addresses = [address for address in self._addresses if self._not_before.get(address, 0.0) <= now]
        if not addresses:
            return None
        address = self._choose(addresses)
        # In a context of its own: it outlives the request that is served here, whose ids would stand in its log lines.
        trunk = self._trunk = Context().run(Trunk, self, address, address)
        trunk.waiters[self] = None
        self._all.add(trunk)
        return trunk

    def _next_dial(self, now: float) -> float:
        """When it is time to look again; also without a change."""
        if self._trunk is not None or not self._addresses:
            return now + EDGE_WAIT_S
        return min(self._not_before.get(address, now) for address in self._addresses)

    async def _wait(self, until: float) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(waiter)
        try:
            async with asyncio.timeout_at(until):
                await waiter
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    # Calls of the trunks

    def after_batch(self) -> None:
        """Ends trunks that have carried their last call, once there is another one."""
        if self._leaving and self.ready() is not None:
            for trunk in self._leaving:
                if not trunk.stream_count:
                    trunk.stop()

    def trunk_ready(self) -> None:
        """The trunk that was dialled carries streams."""
        if self._trunk is not None:
            self._failures.pop(self._trunk.address, None)
        self._wake()
        self.after_batch()

    def trunk_failed(self) -> None:
        """Told of by `trunk_ended`, too."""

    def trunk_go_away(self, trunk: Trunk, reason: str) -> None:
        """The edge drains."""
        self.leave(trunk)

    def trunk_ended(self, trunk: Trunk, detail: str, streams: int, *, was_ready: bool) -> None:
        """The edge is lost, could not be reached, or the trunk was ended here."""
        self._all.discard(trunk)
        was_used = trunk is self._trunk
        if was_used:
            self._trunk = None
        self._leaving.pop(trunk, None)
        address = trunk.address
        if not self._is_stopped:
            failures = self._failures[address] = self._failures.get(address, 0) + 1
            pause_s = min(RETRY_S_MAX, RETRY_S_MIN * 2 ** (failures - 1))
            self._not_before[address] = self._loop.time() + pause_s
            if was_ready and (was_used or streams):
                self._on_lost(address, detail, streams)
        self._wake()
