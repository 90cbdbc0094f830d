"""Answers one request to a chainlet: arguments from the body, `run_remote`, the result or the items as a response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from types import TracebackType
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from penstock.chains.remote import trace
from penstock.chains.remote.encoding import (
    CHAIN,
    content_type_of,
    decode_arguments,
    encode_item,
    encode_result,
)
from penstock.chains.remote.frames import END_FRAME, STREAM_FRAMED, STREAM_HEADER, STREAM_TYPE, item_frame
from penstock.chains.serving.failures import USER_FAILURES, failed, failure_frame, is_cancelled, refused
from penstock.chains.serving.responses import EncodedResponse
from penstock.chains.serving.served import Endpoint

Call = Callable[..., Any]

_RAW_ITEMS = (str, bytes)


async def answer(endpoint: Endpoint, call: Call, request: Request) -> Response:
    """Calls an asynchronous `run_remote`.

    Raises:
        HTTPException: it failed; the detail is its RemoteErrorDetail.
    """
    content_type = content_type_of(request.headers.get("content-type"))
    body = await request.body()
    with trace.bound(request.headers):
        try:
            arguments = decode_arguments(endpoint.types, body, content_type)
        except ValueError as exc:
            return refused(exc)
        try:
            result = await call(**arguments)
            return EncodedResponse(encode_result(endpoint.types, result, content_type), content_type)
        except (*USER_FAILURES, asyncio.CancelledError) as exc:
            if is_cancelled(exc):
                raise
            raise failed(exc) from exc


def answer_in_thread(endpoint: Endpoint, call: Call, request: Request) -> Response:
    """Calls a synchronous `run_remote`, for which the runner gives a thread. Raises as `answer`."""
    content_type = content_type_of(request.headers.get("content-type"))
    body: bytes = request._body  # the runner has read it: a thread cannot wait for the event loop
    with trace.bound(request.headers):
        try:
            arguments = decode_arguments(endpoint.types, body, content_type)
        except ValueError as exc:
            return refused(exc)
        try:
            result = call(**arguments)
            return EncodedResponse(encode_result(endpoint.types, result, content_type), content_type)
        except USER_FAILURES as exc:
            raise failed(exc) from exc


async def answer_stream(endpoint: Endpoint, call: Call, request: Request) -> Response | AsyncGenerator[bytes, None]:
    """Returns the items of a streaming `run_remote`, one by one; a response when the arguments are refused."""
    content_type = content_type_of(request.headers.get("content-type"))
    try:
        arguments = decode_arguments(endpoint.types, await request.body(), content_type)
    except ValueError as exc:
        return refused(exc)
    items = _Items(endpoint, call, arguments, request, content_type)
    if request.headers.get(STREAM_HEADER) == STREAM_FRAMED:
        return FramedItems(items.framed())
    return items.raw()


class FramedItems(AsyncGenerator[bytes, None]):
    """A generator whose response has the content type of framed streams.

    Attributes:
        penstock_media_type: The runner asks for it.
    """

    penstock_media_type = STREAM_TYPE.encode()

    __slots__ = ("_frames",)

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        self._frames = frames

    async def __anext__(self) -> bytes:
        """Returns the next frame."""
        return await self._frames.__anext__()

    async def asend(self, value: None) -> bytes:
        """As of any generator."""
        return await self._frames.asend(value)

    async def athrow(
        self, kind: Any, value: BaseException | object = None, traceback: TracebackType | None = None
    ) -> bytes:
        """As of any generator."""
        return await self._frames.athrow(kind, value, traceback)

    async def aclose(self) -> None:
        """As of any generator."""
        await self._frames.aclose()


class _Items:
    """One call of a streaming `run_remote`."""

    def __init__(
        self, endpoint: Endpoint, call: Call, arguments: dict[str, Any], request: Request, content_type: str
    ) -> None:
        self._endpoint = endpoint
        self._call = call
        self._arguments = arguments
        self._headers = request.headers
        self._content_type = content_type

    async def raw(self) -> AsyncGenerator[bytes, None]:
        """Yields the items as they are. The runner logs what `run_remote` raises; the stream then ends, as in Truss."""
        # In here, because this runs in a task of its own.
        with trace.bound(self._headers):
            async with closing(self._call(**self._arguments)) as items:
                async for item in items:
                    yield b"".join(self._encoded(item, self._content_type))

    async def framed(self) -> AsyncGenerator[bytes, None]:
        """Yields frames; the last one is an end or an error."""
        with trace.bound(self._headers):
            try:
                async with closing(self._call(**self._arguments)) as items:
                    async for item in items:
                        yield item_frame(self._encoded(item, CHAIN))
            except (*USER_FAILURES, asyncio.CancelledError) as exc:
                if is_cancelled(exc):
                    raise
                yield failure_frame(exc, is_logged=False)
                return
            yield END_FRAME

    def _encoded(self, item: Any, content_type: str) -> tuple[bytes | memoryview, ...]:
        if self._endpoint.description.result_types[0] in _RAW_ITEMS:
            if isinstance(item, str):
                return (item.encode(),)
            if isinstance(item, bytes | bytearray | memoryview):
                return (bytes(item),)
        return encode_item(self._endpoint.types, item, content_type)


def closing(items: AsyncIterator[Any]) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    """Ends a generator with the block, whose cleanup then runs at once; other iterators cannot be ended."""
    return aclosing(items) if isinstance(items, AsyncGenerator) else nullcontext(items)
