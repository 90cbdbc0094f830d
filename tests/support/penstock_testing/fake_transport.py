"""A callee in the process of the test, behind the interface that stubs use."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from penstock.chains.remote.transport import Call, Conversation, Reply, StreamReply
from penstock.close_codes import EndCode
from penstock.errors import error_for

Answer = Reply | Exception | Callable[[Call], Awaitable[Reply]]


def json_reply(value: Any, status: int = 200) -> Reply:
    """Returns a response in JSON."""
    return Reply(status, {"content-type": "application/json"}, json.dumps(value).encode())


def error_reply(name: str, message: str, *, module: str | None = None, status: int = 500) -> Reply:
    """Returns the response of a chainlet that failed, without frames."""
    detail: dict[str, Any] = {
        "exception_cls_name": name,
        "exception_module_name": module,
        "exception_message": message,
        "user_stack_trace": [],
    }
    return json_reply({"error": detail}, status)


@dataclass
class Pieces:
    """A response bit by bit; an exception among the pieces is raised there."""

    pieces: Sequence[bytes | Exception] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    before_piece: Callable[[], Awaitable[None]] | None = None

    async def items(self) -> AsyncIterator[bytes]:
        """The pieces."""
        for piece in self.pieces:
            if self.before_piece is not None:
                await self.before_piece()
            if isinstance(piece, Exception):
                raise piece
            yield piece


class FakeTransport:
    """Answers each call with the next of `answers`; the last one answers all further calls.

    Attributes:
        calls: What was asked, in order.
        left: Streams that were left, whether they had ended or not.
    """

    def __init__(self, *answers: Answer | Pieces) -> None:
        self.calls: list[Call] = []
        self.left = 0
        self._answers = list(answers)

    def _next(self, call: Call) -> Any:
        self.calls.append(call)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call(self, call: Call) -> Reply:
        """As of Transport."""
        answer = self._next(call)
        reply: Reply = answer if isinstance(answer, Reply) else await answer(call)
        return reply

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[StreamReply]:
        """As of Transport."""
        answer = self._next(call)
        try:
            yield answer
        finally:
            self.left += 1

    @asynccontextmanager
    async def converse(self, call: Call) -> AsyncIterator[Conversation]:
        """As of Transport: nobody is there."""
        self.calls.append(call)
        raise error_for(EndCode.NOT_FOUND)
        yield  # makes it a generator


def body_of(call: Call) -> bytes:
    """Returns the whole body of a call."""
    return b"".join(call.body)
