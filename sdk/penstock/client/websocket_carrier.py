"""A stream on a WebSocket connection of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Sequence
from typing import TypeVar, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.protocol import State
from websockets.typing import Subprotocol

from penstock.client.carrier import Message
from penstock.client.ends import (
    StreamEnd,
    StreamEnded,
    connection_lost,
    end_of_close_frame,
    end_of_local_close,
    end_of_lost_connection,
    refusal_of_http,
)
from penstock.close_codes import EndCode
from penstock.errors import error_for

T = TypeVar("T")

_INTERNAL_ERROR = 1011


class WebSocketCarrier:
    """Carries one stream on one `websockets` connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._end: StreamEnd | None = None
        self._is_closing = False

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the model chose."""
        return self._connection.subprotocol

    @property
    def end(self) -> StreamEnd | None:
        """How the stream ended; None while it is open."""
        if self._end is None and self._connection.state is State.CLOSED:
            self._ended(self._connection.protocol.close_exc)
        return self._end

    async def send(self, message: Message) -> None:
        """Hands over one message; waits while the peer does not keep up. Raises StreamEnded."""
        # Encoded here: `websockets` drops the connection when a text cannot be encoded.
        data = message.encode() if isinstance(message, str) else message
        await self._or_ended(self._connection.send(data, text=isinstance(message, str)))

    async def recv(self) -> Message:
        """Takes the next message; after the last one raises StreamEnded."""
        return await self._or_ended(self._connection.recv())

    async def close(self, close_code: int, reason: str, *, timeout_s: float) -> None:
        """Ends the stream; waits at most `timeout_s` for the peer to agree, and drops what it still sends."""
        connection = self._connection
        if connection.close_code is None:
            self._is_closing = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._or_ended(connection.close(close_code, reason))
        except (TimeoutError, StreamEnded):
            pass
        finally:
            # Also when cancelled: the socket must not outlive the stream.
            if connection.state is not State.CLOSED:
                connection.transport.abort()
        await connection.wait_closed()
        self._ended(connection.protocol.close_exc)

    async def _or_ended(self, operation: Awaitable[T]) -> T:
        try:
            return await operation
        except ConnectionClosed as exc:
            raise StreamEnded(self._ended(exc)) from exc
        except AttributeError as exc:
            # `websockets` aborts transports that may be closed already, and abort() of asyncio fails so after a close
            # that first had to write a rest (agronholm/anyio#1250).
            if self._connection.state is not State.CLOSED:
                raise
            raise StreamEnded(self._ended(self._connection.protocol.close_exc)) from exc

    def _ended(self, exc: ConnectionClosed) -> StreamEnd:
        if self._end is None:
            self._end = _end_of(exc, is_closing=self._is_closing)
        return self._end


async def open_websocket(
    url: str,
    *,
    headers: Sequence[tuple[str, str]],
    subprotocols: Sequence[str] | None,
    message_bytes_max: int,
    open_timeout_s: float,
    close_timeout_s: float,
    tls: ssl.SSLContext | None,
) -> WebSocketCarrier:
    """Connects and upgrades.

    Raises:
        PenstockError: The edge cannot be reached, refuses, or does not answer in time.
    """
    opening = connect(
        url,
        additional_headers=list(headers),
        subprotocols=None if subprotocols is None else cast(Sequence[Subprotocol], subprotocols),
        compression=None,
        max_size=message_bytes_max,
        open_timeout=None,
        close_timeout=close_timeout_s,
        ssl=tls,
    )
    try:
        async with asyncio.timeout(open_timeout_s):
            return WebSocketCarrier(await opening)
    except InvalidStatus as exc:
        response = exc.response
        retry_after = next(iter(response.headers.get_all("Retry-After")), None)
        raise refusal_of_http(response.status_code, retry_after, bytes(response.body or b"")) from exc
    except TimeoutError as exc:
        raise error_for(EndCode.HANDSHAKE_TIMEOUT, None, f"no answer from {url} within {open_timeout_s:g} s") from exc
    except InvalidHandshake as exc:
        raise error_for(EndCode.BAD_UPGRADE, None, f"{url} did not answer as a WebSocket server: {exc}") from exc
    except (OSError, WebSocketException) as exc:
        raise connection_lost(f"cannot connect to {url}: {exc}") from exc


def _end_of(exc: ConnectionClosed, *, is_closing: bool) -> StreamEnd:
    received, sent = exc.rcvd, exc.sent
    if is_closing and sent is not None and not exc.rcvd_then_sent:
        frame = received or sent
        return end_of_local_close(frame.code, frame.reason)
    if received is not None and (sent is None or exc.rcvd_then_sent):
        return end_of_close_frame(received.code, received.reason)
    if sent is not None and sent.code != _INTERNAL_ERROR:
        # The library refused what the edge sent: too large, not UTF-8, not WebSocket.
        return end_of_close_frame(sent.code, sent.reason)
    if sent is not None:
        return end_of_lost_connection("the edge did not answer a ping in time")
    return end_of_lost_connection("the connection to the edge was lost")
