"""Answers one conversation: items of the caller in, items of the chainlet out, both at the same time.

Nothing is read ahead: a message of the caller is taken when `run_remote` asks for an item, so a slow one stops its
caller by the flow control below. A caller that leaves cancels `run_remote` at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect

from penstock.chains.remote import trace
from penstock.chains.remote.encoding import content_type_of, decode_arguments, decode_input_item, encode_item
from penstock.chains.remote.frames import (
    END,
    END_FRAME,
    HEADER,
    ITEM,
    FrameError,
    Opening,
    error_frame,
    item_frame,
    read_frame,
    read_opening,
)
from penstock.chains.serving.failures import USER_FAILURES, failure_frame, is_cancelled, refusal_text
from penstock.chains.serving.requests import closing
from penstock.chains.serving.served import Endpoint
from penstock.close_codes import ABNORMAL

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

ON_GONE: Final = "penstock.on_gone"
"""Key in the extensions of a WebSocket's scope: a function that takes what is called once the client has left."""

OPENING_S: Final = 30.0
"""Time for the caller's first message."""

_log = structlog.get_logger("runner")


async def converse_back(endpoint: Endpoint, call: Callable[..., Any], websocket: WebSocket) -> None:
    """Serves one conversation to its end.

    Raises:
        WebSocketDisconnect: the caller has left.
        BaseException: what `run_remote` raised; its caller has been told.
    """
    with _CancelledWhenGone(websocket):
        try:
            async with asyncio.timeout(OPENING_S):
                opening = await _opening(websocket)
            content_type = content_type_of(opening.content_type)
            arguments = decode_arguments(endpoint.types, opening.arguments, content_type)
        except TimeoutError:
            await _refuse(websocket, f"no header came within {OPENING_S:g} s")
            return
        except ValueError as exc:
            await _refuse(websocket, str(exc) if isinstance(exc, FrameError) else refusal_text(exc))
            return
        stream = endpoint.description.stream_argument
        assert stream is not None
        arguments[stream.name] = CallerItems(websocket, endpoint, content_type)
        with trace.bound(opening.headers):
            try:
                async with closing(call(**arguments)) as items:
                    async for item in items:
                        await websocket.send_bytes(item_frame(encode_item(endpoint.types, item, content_type)))
            except WebSocketDisconnect:
                raise
            except (*USER_FAILURES, asyncio.CancelledError) as exc:
                if is_cancelled(exc):
                    raise
                await websocket.send_bytes(failure_frame(exc, is_logged=True))
                raise  # for the log of the runner and its metrics
        await websocket.send_bytes(END_FRAME)


class CallerItems(AsyncIterator[Any]):
    """What `run_remote` gets as its `AsyncIterator` argument."""

    __slots__ = ("_content_type", "_endpoint", "_is_ended", "_websocket")

    def __init__(self, websocket: WebSocket, endpoint: Endpoint, content_type: str) -> None:
        self._websocket = websocket
        self._endpoint = endpoint
        self._content_type = content_type
        self._is_ended = False

    async def __anext__(self) -> Any:
        """Returns the caller's next item.

        Raises:
            HTTPException: 400; the item is not of the type of this argument, or the message is none of the protocol.
            WebSocketDisconnect: the caller has left.
        """
        if self._is_ended:
            raise StopAsyncIteration
        try:
            kind, content = read_frame(await _received(self._websocket))
            if kind == ITEM:
                return decode_input_item(self._endpoint.types, content, self._content_type)
            if kind == END:
                self._is_ended = True
                raise StopAsyncIteration
            raise FrameError(f"a message of kind {kind:#04x} where an item was expected")
        except ValueError as exc:
            raise HTTPException(400, refusal_text(exc)) from exc


async def _opening(websocket: WebSocket) -> Opening:
    kind, content = read_frame(await _received(websocket))
    if kind != HEADER:
        raise FrameError(f"a conversation begins with a header, not with a message of kind {kind:#04x}")
    return read_opening(content)


async def _received(websocket: WebSocket) -> bytes:
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", ABNORMAL), message.get("reason"))
    data: bytes | None = message.get("bytes")
    if data is None:
        raise FrameError("a text message; conversations between chainlets are binary")
    return data


async def _refuse(websocket: WebSocket, text: str) -> None:
    _log.warning("conversation_refused", reason=text)
    await websocket.send_bytes(error_frame(400, text))


class _CancelledWhenGone:
    """Context manager that cancels the task within it when the caller leaves.

    Raises:
        WebSocketDisconnect: the caller has left. A cancellation by anybody else stays one.
    """

    __slots__ = ("_cancellations", "_is_cancelled", "_task", "_watch")

    def __init__(self, websocket: WebSocket) -> None:
        self._watch: Callable[[Callable[[], object]], object] | None = websocket.scope["extensions"].get(ON_GONE)
        self._is_cancelled = False
        self._cancellations = 0
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancellations = self._task.cancelling()
        if self._watch is not None:
            self._watch(self._cancel)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._is_cancelled:
            assert task is not None
            is_ours = task.uncancel() <= self._cancellations
            if is_ours and exc_type is not None and issubclass(exc_type, asyncio.CancelledError):
                raise WebSocketDisconnect(ABNORMAL) from None

    def _cancel(self) -> None:
        if self._task is not None and not self._is_cancelled:
            self._is_cancelled = True
            self._task.cancel()
