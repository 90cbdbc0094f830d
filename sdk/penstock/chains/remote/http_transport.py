"""Calls over plain HTTP: to any Truss server, and to an edge's `/model/…/predict` and `/chain/…/run_remote`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from io import BytesIO

import aiohttp

from penstock.chains.remote.http_sessions import HttpSessions
from penstock.chains.remote.transport import Call, Conversation, Reply, StreamReply
from penstock.close_codes import EndCode
from penstock.errors import PenstockError, error_for

REPLY_BYTES_MAX = 1024 * 1024 * 1024
"""Largest response that is taken as a whole; as over the trunk."""

MESSAGE_BYTES_MAX = 100 * 1024 * 1024
"""Largest message of a conversation."""

_AT_ONCE_BYTES_MAX = 256 * 1024

_sessions = HttpSessions()


class HttpTransport:
    """Carries calls to one URL. Any event loop: each has connections of its own.

    Args:
        url: where requests are posted.
        headers: for every request, by name: authorization, and `Host` where it is not the URL's.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = dict(headers)

    async def call(self, call: Call) -> Reply:
        """Returns the whole response, whatever its status.

        Raises:
            PenstockError: there is none, not all of it came, or it exceeds REPLY_BYTES_MAX.
        """
        async with self._response(call) as response:
            return Reply(response.status, _lowered(response.headers), await _body(response))

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[StreamReply]:
        """Enters when the head of the response has come. Leaving early ends the connection.

        Raises:
            PenstockError: there is no response.
        """
        async with self._response(call) as response:
            yield _HttpStream(response)

    @asynccontextmanager
    async def converse(self, call: Call) -> AsyncIterator[Conversation]:
        """Enters when the WebSocket beside the URL (`/websocket` for its last part) is open.

        Raises:
            PenstockError: it was refused.
        """
        url = f"{self._url.rpartition('/')[0]}/websocket"
        headers = {**self._headers, **call.headers}
        headers.pop("content-type", None)
        async with _sessions.lent() as session:
            try:
                socket = await session.ws_connect(
                    url, headers=headers, max_msg_size=MESSAGE_BYTES_MAX, autoclose=True, compress=0
                )
            except (aiohttp.ClientError, OSError) as exc:
                raise _no_response(url, exc) from exc
            async with socket:
                yield _HttpConversation(socket)

    @asynccontextmanager
    async def _response(self, call: Call) -> AsyncIterator[aiohttp.ClientResponse]:
        async with _sessions.lent() as session:
            try:
                response = await session.post(self._url, data=_body_of(call), headers={**self._headers, **call.headers})
            except (aiohttp.ClientError, OSError) as exc:
                raise _no_response(self._url, exc) from exc
            async with response:
                yield response


class _HttpStream:
    """A response whose pieces come as the connection has them."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = _lowered(response.headers)

    async def items(self) -> AsyncIterator[bytes]:
        """The pieces, in order. Raises PenstockError when the rest will not come."""
        async for piece in _pieces(self._response):
            yield piece


class _HttpConversation:
    """Binary messages both ways."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, data: bytes) -> None:
        """Sends one message. Raises PenstockError when it is over."""
        try:
            await self._socket.send_bytes(data)
        except (aiohttp.ClientError, OSError) as exc:
            raise error_for(EndCode.REPLICA_LOST, reason=f"the connection ended: {exc}") from exc

    async def receive(self) -> bytes:
        """Returns the next message. Raises PenstockError when it is over; COMPLETED after a close with 1000."""
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        code = self._socket.close_code
        if code == aiohttp.WSCloseCode.OK:
            raise error_for(EndCode.COMPLETED)
        if message.type is aiohttp.WSMsgType.TEXT:
            raise error_for(EndCode.PROTOCOL_ERROR, reason="the callee has sent text in a conversation")
        raise error_for(EndCode.REPLICA_LOST, close_code=code, reason=str(message.extra or "the connection ended"))


def _body_of(call: Call) -> bytes | BytesIO:
    joined = b"".join(call.body)
    # aiohttp writes bytes at once, and a file bit by bit, so that other calls go on meanwhile. The file is no copy.
    return joined if len(joined) <= _AT_ONCE_BYTES_MAX else BytesIO(joined)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for piece in _pieces(response):
        size += len(piece)
        if size > REPLY_BYTES_MAX:
            raise error_for(EndCode.MESSAGE_TOO_BIG, reason=f"a response of more than {REPLY_BYTES_MAX} bytes")
        parts.append(piece)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, OSError) as exc:
        raise error_for(EndCode.REPLICA_LOST, reason=f"the response was cut short: {exc}") from exc


def _no_response(url: str, exc: Exception) -> PenstockError:
    if isinstance(exc, aiohttp.WSServerHandshakeError):
        code = EndCode.NOT_FOUND if exc.status == 404 else EndCode.REPLICA_NOT_READY
        return error_for(code, reason=f"{url} refused a WebSocket: HTTP status {exc.status}")
    return error_for(EndCode.REPLICA_LOST, reason=f"no response from {url}: {exc}")


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
