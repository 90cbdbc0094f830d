"""What a stub needs of whatever carries its calls: the platform's trunk, or plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes | memoryview


class StreamReply(Protocol):
    """A response that comes bit by bit."""

    status: int
    headers: Mapping[str, str]

    def items(self) -> AsyncIterator[bytes]:
        """The items as the callee has yielded them, in order; over plain HTTP whatever pieces arrive.

        Raises:
            PenstockError: the rest will not come.
        """


class Conversation(Protocol):
    """Whole binary messages both ways, each side at its own pace, with backpressure."""

    async def send(self, data: bytes) -> None:
        """Sends one message; waits while the callee takes nothing.

        Raises:
            PenstockError: it is over.
        """

    async def receive(self) -> bytes:
        """Returns the next message.

        Raises:
            PenstockError: it is over; `EndCode.COMPLETED` when the callee has ended it well.
        """


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a chainlet."""

    body: Sequence[bytes | memoryview] = ()
    """Parts of the body, joined by the transport."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case; content-type among them."""


class Transport(Protocol):
    """Carries calls to one target. Safe to use from one event loop; it belongs to that loop.

    Every method raises a `penstock.errors.PenstockError` (its subclass and `code` say why) when there is no response at
    all. A cancelled caller cancels the work of the callee at once.
    """

    async def call(self, call: Call) -> Reply:
        """Returns the whole response, whatever its status."""

    def stream(self, call: Call) -> AbstractAsyncContextManager[StreamReply]:
        """Enters when the head of the response has come. Leaving early cancels the callee."""

    def converse(self, call: Call) -> AbstractAsyncContextManager[Conversation]:
        """Enters when the callee has given a slot. Leaving early cancels the callee. The call's body is not sent."""
