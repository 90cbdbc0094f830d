"""The caller's side of a conversation: the items of an iterator out, the items of the callee in, at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final

from penstock.chains.description import EndpointDescription
from penstock.chains.remote.encoding import CHAIN, decode_item, encode_arguments, encode_input_item
from penstock.chains.remote.encoding_types import EndpointTypes, types_of
from penstock.chains.remote.frames import (
    END,
    END_FRAME,
    ERROR,
    ITEM,
    FrameError,
    header_frame,
    item_frame,
    read_error,
    read_frame,
)
from penstock.chains.remote.rpc_errors import raise_remote
from penstock.chains.remote.transport import Call, Conversation, Transport
from penstock.close_codes import EndCode
from penstock.errors import PenstockError, error_for

CLOSE_S: Final = 1.0
"""Time for the callee to close behind its last item; then it is left. Everything has arrived."""

SETTLE_S: Final = 10.0
"""Time for the caller's iterator to end, once it is cancelled, and as long again for its cleanup; then it is left to
itself."""

SENT_PER_TURN: Final = 32
"""Items that are sent in one turn of the loop. An iterator that never waits must not keep everybody else waiting until
the window is full."""


async def converse(
    transport: Transport,
    headers: Mapping[str, str],
    endpoint: EndpointDescription,
    arguments: Mapping[str, Any],
    use_binary: bool,
    *,
    chainlet_name: str = "",
    attempts: int = 1,
) -> AsyncGenerator[Any, None]:
    """Calls a chainlet whose `run_remote` takes an iterator and yields items.

    Nothing happens before the first item is asked for. Leaving early (`aclose`, a cancellation) cancels the callee and
    ends the caller's iterator at once. A consumer that takes no items stops the callee; a callee that takes none stops
    the iterator.

    Args:
        headers: For the callee: those of the trace, by name in lower case.
        endpoint: Of the callee.
        arguments: All arguments by name, the iterator among them.
        use_binary: Has no effect: conversations are binary, because JSON has no form for the bytes that most carry.
        chainlet_name: For errors.
        attempts: To get a slot of the callee, in all. What has begun is not tried again: the iterator is used up.

    Yields:
        What the callee yields.

    Raises:
        TypeError: the iterator is none.
        pydantic.ValidationError: an argument or an item is not of its type.
        PenstockError: the conversation was not begun, or is lost.
        Exception: what the callee has raised, or what the iterator has.
    """
    stream = endpoint.stream_argument
    assert stream is not None
    types = types_of(endpoint)
    plain = {name: value for name, value in arguments.items() if name != stream.name}
    opening = header_frame(CHAIN, headers, encode_arguments(types, plain, CHAIN))
    items = _iterator(arguments[stream.name], stream.name, chainlet_name)
    pump = _Pump(items, types)
    try:
        async with AsyncExitStack() as stack:
            conversation = await _opened(stack, transport, Call(headers=headers), attempts)
            await conversation.send(opening)
            pump.start(conversation)
            async with aclosing(_items(conversation, pump, types, chainlet_name)) as found:
                async for item in found:
                    yield item
    finally:
        # Behind the block: the callee hears of the end before the caller's iterator cleans up.
        await pump.settle()


def _iterator(items: object, name: str, chainlet_name: str) -> AsyncIterator[Any]:
    if not isinstance(items, AsyncIterable):
        raise TypeError(
            f"The argument `{name}` of Chainlet `{chainlet_name}` must be an asynchronous iterator, "
            f"got {type(items).__name__}."
        )
    return aiter(items)


async def _opened(stack: AsyncExitStack, transport: Transport, call: Call, attempts: int) -> Conversation:
    for _ in range(attempts - 1):
        try:
            return await stack.enter_async_context(transport.converse(call))
        except PenstockError:
            continue
    return await stack.enter_async_context(transport.converse(call))


async def _items(
    conversation: Conversation, pump: _Pump, types: EndpointTypes, chainlet_name: str
) -> AsyncGenerator[Any, None]:
    while True:
        kind, content = read_frame(await pump.guarded_receive())
        if kind == ITEM:
            yield decode_item(types, content, CHAIN)
        elif kind == ERROR:
            status, body = read_error(content)
            raise_remote(status, body, {}, chainlet_name)
        elif kind == END:
            pump.cancel()
            await _closed(conversation)
            return
        else:
            raise FrameError(f"Chainlet `{chainlet_name}` has sent a message of kind {kind:#04x} in a conversation.")


async def _closed(conversation: Conversation) -> None:
    """Lets the callee end the stream, so that it does not count as one that its caller has left."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await conversation.receive()
    except (PenstockError, TimeoutError):
        pass


class _OverError(Exception):
    """The conversation is over. Whoever receives learns why; this is not an error of the iterator's."""


class _Pump:
    """Sends the items of the caller's iterator, in a task that this object owns."""

    def __init__(self, items: AsyncIterator[Any], types: EndpointTypes) -> None:
        self._items = items
        self._types = types
        self._conversation: Conversation | None = None
        self._task: asyncio.Task[None] | None = None
        self._receiver: asyncio.Task[Any] | None = None
        """The task that waits for the callee, to be woken when the iterator fails."""
        self._failure: BaseException | None = None
        self._has_interrupted = False

    def start(self, conversation: Conversation) -> None:
        """Begins to send."""
        self._conversation = conversation
        self._task = asyncio.get_running_loop().create_task(self._run(conversation))

    def cancel(self) -> None:
        """Sends no more."""
        if self._task is not None:
            self._task.cancel()

    async def guarded_receive(self) -> bytes:
        """Receives from the callee, until the iterator fails.

        Raises:
            BaseException: what the iterator has raised; what `receive` raises.
        """
        if self._failure is not None:
            raise self._failure
        conversation = self._conversation
        assert conversation is not None
        task = self._receiver = asyncio.current_task()
        assert task is not None
        cancellations = task.cancelling()
        try:
            return await conversation.receive()
        except asyncio.CancelledError:
            # As asyncio.timeout does it: a cancellation by anybody else stays one.
            if self._has_interrupted and task.uncancel() <= cancellations and self._failure is not None:
                raise self._failure from None
            raise
        except PenstockError as error:
            if error.code is EndCode.COMPLETED:
                raise error_for(EndCode.MODEL_ERROR, reason="the conversation ended without its last message") from None
            raise
        finally:
            self._receiver = None

    async def settle(self) -> None:
        """Returns when nothing of it runs any more. An iterator that was begun is ended, if it is a generator."""
        task = self._task
        if task is None:
            return
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=SETTLE_S)
        if isinstance(self._items, AsyncGenerator) and task.done():
            limit = asyncio.timeout(SETTLE_S)
            try:
                async with limit:
                    await self._items.aclose()
            except RuntimeError:
                pass  # somebody else is iterating over it
            except TimeoutError:
                if not limit.expired():
                    raise

    async def _run(self, conversation: Conversation) -> None:
        try:
            sent = 0
            async for item in self._items:
                sent += 1
                if not sent % SENT_PER_TURN:
                    await asyncio.sleep(0)
                await self._send(conversation, item_frame(encode_input_item(self._types, item, CHAIN)))
            await self._send(conversation, END_FRAME)
        except asyncio.CancelledError as exc:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._fail(exc)  # the iterator has awaited something that was cancelled
        except _OverError:
            pass
        except (Exception, SystemExit, KeyboardInterrupt) as exc:
            self._fail(exc)

    @staticmethod
    async def _send(conversation: Conversation, frame: bytes) -> None:
        try:
            await conversation.send(frame)
        except PenstockError as error:
            raise _OverError from error

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        if self._receiver is not None:
            self._has_interrupted = True
            self._receiver.cancel()
