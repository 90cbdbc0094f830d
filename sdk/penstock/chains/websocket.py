"""The WebSocket of a chain's entrypoint: its type for annotations, and the object that serves it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

T = TypeVar("T")


class ConnectedFlag(int):
    """Whether a WebSocket is connected: good for `if ws.is_connected():` and for `if await ws.is_connected():`."""

    def __await__(self) -> Generator[Any, None, bool]:
        """Gives a plain bool at once."""
        return self._settled().__await__()

    async def _settled(self) -> bool:
        return bool(self)

    def __repr__(self) -> str:
        return repr(bool(self))


_CONNECTED: Final = ConnectedFlag(True)
_NOT_CONNECTED: Final = ConnectedFlag(False)


class MessageIterator(Generic[T]):
    """Messages until the client is gone: good for `async for m in ws.iter_text():`, and with `await` before `ws`."""

    __slots__ = ("_receive",)

    def __init__(self, receive: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._receive = receive

    def __await__(self) -> Generator[Any, None, AsyncIterator[T]]:
        """Gives the iterator itself at once."""
        return self._settled().__await__()

    async def _settled(self) -> AsyncIterator[T]:
        return self

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        from starlette.websockets import WebSocketDisconnect

        try:
            return await self._receive()
        except WebSocketDisconnect:
            raise StopAsyncIteration from None


class WebSocketProtocol(Protocol):
    """What `run_remote(self, websocket: WebSocketProtocol) -> None` gets: an accepted WebSocket.

    Receiving raises `starlette.websockets.WebSocketDisconnect`, with `code` and `reason`, once the client is gone.
    """

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the upgrade request; names in any case."""

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Closes; the return of `run_remote` closes with 1000, too."""

    async def receive(self) -> str | bytes:
        """Returns the next message: str for text, bytes for binary. Either may be empty."""

    async def receive_text(self) -> str:
        """Returns the next message, which must be text."""

    async def receive_bytes(self) -> bytes:
        """Returns the next message, which must be binary."""

    async def receive_json(self) -> Any:
        """Returns the value of the next message, text or binary."""

    async def send_text(self, data: str) -> None:
        """Sends a text message."""

    async def send_bytes(self, data: bytes) -> None:
        """Sends a binary message."""

    async def send_json(self, data: Any) -> None:
        """Sends a value as JSON, in a text message."""

    def iter_text(self) -> MessageIterator[str]:
        """Text messages until the client is gone."""

    def iter_bytes(self) -> MessageIterator[bytes]:
        """Binary messages until the client is gone."""

    def iter_json(self) -> MessageIterator[Any]:
        """Values of messages until the client is gone."""

    def is_connected(self) -> ConnectedFlag:
        """Tells whether neither side has closed, as far as is known without receiving. `await` is optional."""


class ChainWebSocket:
    """A Starlette WebSocket as a `WebSocketProtocol`.

    Attributes:
        _websocket: The Starlette (or FastAPI) WebSocket itself. Code of others reads it: it keeps its name.
    """

    def __init__(self, websocket: WebSocket) -> None:
        """Takes a WebSocket that has been accepted."""
        self._websocket = websocket

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the upgrade request; names in any case."""
        return self._websocket.headers

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Closes.

        Raises:
            RuntimeError: it has been closed from here already.
        """
        await self._websocket.close(code, reason)

    async def receive(self) -> str | bytes:
        """Returns the next message: str for text, bytes for binary. Either may be empty.

        Raises:
            WebSocketDisconnect: the client is gone.
            RuntimeError: it was received already that the client is gone.
        """
        from starlette.websockets import WebSocketDisconnect

        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        text: str | None = message.get("text")
        if text is not None:  # "" is a message, too
            return text
        data: bytes = message["bytes"]
        return data

    async def receive_text(self) -> str:
        """Returns the next message.

        Raises:
            WebSocketDisconnect: the client is gone.
            KeyError: it is binary.
        """
        return await self._websocket.receive_text()

    async def receive_bytes(self) -> bytes:
        """Returns the next message.

        Raises:
            WebSocketDisconnect: the client is gone.
            KeyError: it is text.
        """
        return await self._websocket.receive_bytes()

    async def receive_json(self) -> Any:
        """Returns the value of the next message, text or binary.

        Raises:
            WebSocketDisconnect: the client is gone.
            ValueError: it is no JSON.
        """
        return json.loads(await self.receive())

    async def send_text(self, data: str) -> None:
        """Sends a text message.

        Raises:
            WebSocketDisconnect: the client is gone.
            RuntimeError: it has been closed from here.
        """
        await self._websocket.send_text(data)

    async def send_bytes(self, data: bytes) -> None:
        """Sends a binary message. Raises as `send_text`."""
        await self._websocket.send_bytes(data)

    async def send_json(self, data: Any) -> None:
        """Sends a value as JSON, in a text message. Raises as `send_text`, or TypeError for no JSON value."""
        await self._websocket.send_json(data)

    def iter_text(self) -> MessageIterator[str]:
        """Text messages until the client is gone."""
        return MessageIterator(self.receive_text)

    def iter_bytes(self) -> MessageIterator[bytes]:
        """Binary messages until the client is gone."""
        return MessageIterator(self.receive_bytes)

    def iter_json(self) -> MessageIterator[Any]:
        """Values of messages until the client is gone."""
        return MessageIterator(self.receive_json)

    def is_connected(self) -> ConnectedFlag:
        """Tells whether neither side has closed, as far as is known without receiving. `await` is optional."""
        from starlette.websockets import WebSocketState

        states = (self._websocket.client_state, self._websocket.application_state)
        return _CONNECTED if states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED) else _NOT_CONNECTED
