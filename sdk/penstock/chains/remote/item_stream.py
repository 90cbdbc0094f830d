"""What a call that answers item by item returns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")

BEGUN: Any = object()
"""What the generator below an ItemStream yields first: the response has begun."""


class ItemStream(Generic[_Item]):
    """Items as they come, an asynchronous iterator. Nothing is sent before it is used.

    It may also be awaited first, which returns it when the response has begun, and raises what went wrong until then.
    `aclose()`, or dropping it, cancels the callee.
    """

    __slots__ = ("_has_begun", "_items")

    def __init__(self, items: AsyncGenerator[_Item, None]) -> None:
        """Args: items: yields BEGUN first, then the items."""
        self._items = items
        self._has_begun = False

    def __await__(self) -> Generator[Any, None, ItemStream[_Item]]:
        return self._begun().__await__()

    def __aiter__(self) -> ItemStream[_Item]:
        return self

    async def __anext__(self) -> _Item:
        if not self._has_begun:
            await self._begun()
        return await anext(self._items)

    async def aclose(self) -> None:
        """Ends it; the callee is cancelled when it has not sent all."""
        await self._items.aclose()

    async def _begun(self) -> ItemStream[_Item]:
        if not self._has_begun:
            self._has_begun = True
            await anext(self._items)
        return self
