"""Three chainlets, one below the other. What the bottom does is chosen by the client."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import fastapi
import faults
import pydantic
import truss_chains as chains

MANY = chains.RemoteConfig(compute=chains.Compute(predict_concurrency=64))


class Item(pydantic.BaseModel):
    number: int
    data: bytes


class Bottom(chains.ChainletBase):
    remote_config = MANY
    busy = 0

    async def run_remote(self, kind: str, folder: str = "") -> str:
        if kind == "builtin":
            raise LookupError("nothing down here")
        if kind == "http":
            raise fastapi.HTTPException(422, "not like this")
        if kind == "own":
            raise faults.RockfallError("rocks")
        if kind == "half":
            logging.getLogger("deep").warning("half a pair: \ud800")
            raise ValueError("half a pair: \ud800")
        if kind == "busy":
            self.busy += 1
            try:
                await asyncio.sleep(60)
            finally:
                self.busy -= 1
        if kind == "how busy":
            return str(self.busy)
        if kind == "die":
            os._exit(9)
        if kind == "wait":
            await _wait_to_be_cancelled(Path(folder))
        return str(os.getpid())


class Items(chains.ChainletBase):
    """Passes items on; counts what it was given."""

    remote_config = MANY

    async def run_remote(self, items: AsyncIterator[Item], folder: str, factor: int) -> AsyncIterator[Item]:
        taken = 0
        try:
            async for item in items:
                taken += 1
                if item.number < 0:
                    raise faults.RockfallError(f"item {item.number}")
                yield Item(number=factor * item.number, data=item.data)
        finally:
            if folder:
                (Path(folder) / "items").write_text(f"{taken} {time.time()}")


class Middle(chains.ChainletBase):
    remote_config = MANY

    def __init__(self, bottom: Bottom = chains.depends(Bottom)):
        self._bottom = bottom

    async def run_remote(self, kind: str, folder: str) -> str:
        if kind == "middle":
            return str(os.getpid())
        if kind == "leave":
            return await self._leave(300)
        if kind == "linger":
            # A replica that is killed takes the call down with it, once.
            mark = Path(folder) / "lingered"
            if not mark.exists():
                mark.write_text(str(os.getpid()))
                await asyncio.sleep(60)
            return str(os.getpid())
        if kind == "seen":
            try:
                await self._bottom.run_remote("own", folder)
            except faults.RockfallError as error:
                return f"caught {type(error).__name__}"
        if kind == "die":
            try:
                await self._bottom.run_remote("die", folder)
            except Exception as error:
                return f"{type(error).__name__} {getattr(error, 'code', '')}"
        return await self._bottom.run_remote(kind, folder)

    async def _leave(self, count: int) -> str:
        """Makes calls, and cancels one after the other: some before they are on their way, some amid the work."""
        calls = [asyncio.create_task(self._bottom.run_remote("busy", "")) for _ in range(count)]
        for number, call in enumerate(calls):
            asyncio.get_running_loop().call_later(number / 2000, call.cancel)
        await asyncio.wait(calls)
        return str(sum(call.cancelled() for call in calls))


class Relay(chains.ChainletBase):
    """A conversation between two others."""

    remote_config = MANY

    def __init__(self, items: Items = chains.depends(Items, use_binary=True)):
        self._items = items

    async def run_remote(self, items: AsyncIterator[Item], folder: str) -> AsyncIterator[Item]:
        async for item in self._items.run_remote(items, folder, 2):
            yield item


@chains.mark_entrypoint("deep")
class Top(chains.ChainletBase):
    remote_config = MANY

    def __init__(
        self,
        middle: Middle = chains.depends(Middle, retries=2),
        relay: Relay = chains.depends(Relay, use_binary=True),
    ):
        self._middle = middle
        self._relay = relay

    async def run_remote(self, kind: str, folder: str = "") -> str:
        if kind == "items":
            return await self._sum(5_000, folder)
        if kind == "endless":
            return await self._sum(1_000_000_000, folder)
        if kind == "bad-item":
            return await self._bad_item()
        if kind == "unread":
            return await self._unread(folder)
        return await self._middle.run_remote(kind, folder)

    async def _sum(self, count: int, folder: str) -> str:
        total = size = 0
        async for item in self._relay.run_remote(_items(count), folder):
            total += item.number
            size += len(item.data)
        return f"{total} {size}"

    async def _bad_item(self) -> str:
        try:
            async for _ in self._relay.run_remote(_items(-3), ""):
                pass
        except faults.RockfallError as error:
            return str(error)
        return "nothing happened"

    async def _unread(self, folder: str) -> str:
        """Takes one item and then none: how many were made meanwhile?"""
        made = 0

        async def items() -> AsyncIterator[Item]:
            nonlocal made
            while True:
                made += 1
                yield Item(number=made, data=bytes(64 * 1024))

        answers = self._relay.run_remote(items(), folder)
        async for _ in answers:
            seen = -1
            while seen != made:
                seen = made
                await asyncio.sleep(0.3)
            break
        await answers.aclose()
        return str(made)


async def _items(count: int) -> AsyncIterator[Item]:
    """So many items; below zero: one good one, then a bad one."""
    if count < 0:
        yield Item(number=1, data=b"")
        yield Item(number=count, data=b"")
    for number in range(count):
        yield Item(number=number, data=bytes(100))


async def _wait_to_be_cancelled(folder: Path) -> None:
    (folder / "began").write_text("")
    try:
        await asyncio.sleep(60)
    finally:
        (folder / "cancelled").write_text(str(time.time()))
