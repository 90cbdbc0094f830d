"""A WebSocket connection at the predict path: one message is one request, and its reply comes back as messages.

Requests are served in order, one at a time, and each takes a slot of its own: a connection on which nothing is asked
holds none, and every message may go to another replica. docs/predict.md tells clients what they get.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import structlog
from websockets.server import ServerProtocol

from penstock.api.common.v1 import common_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.ended import record_refusal
from penstock_edge.headers import message_headers
from penstock_edge.message_replies import END_MARKER, ReplyText, error_message, is_plain, is_text
from penstock_edge.message_socket import MessageSocket
from penstock_edge.plane import DataPlane
from penstock_edge.request_call import BODY_SILENCE_S, CallFailedError, RequestCall
from penstock_edge.routing import Route

ERROR_BODY_BYTES_MAX = 64 * 1024
"""How much of a model's answer with an error status is read."""

log = structlog.get_logger("edge")

_TEXT = int(Kind.TEXT)
_LAST = int(Kind.LAST)


class _CutReplyError(Exception):
    """A message to the client was begun and cannot be completed."""

    def __init__(self, code: EndCode) -> None:
        super().__init__(code)
        self.code = code


class MessageRequests(MessageSocket):
    """The connection, and the task that serves its messages; there is none while nothing is asked.

    Args:
        headers: those of the upgrade request that reach the model, with every request.
    """

    __slots__ = ("_call", "_client", "_headers", "_query", "_route", "_scheme", "_task")

    def __init__(
        self,
        plane: DataPlane,
        server_state: Any,
        transport: asyncio.Transport,
        protocol: ServerProtocol,
        *,
        route: Route,
        headers: list[common_pb2.Header],
        query: bytes,
    ) -> None:
        super().__init__(plane, server_state, transport, protocol, route.deployment)
        self._route = route
        self._headers = headers
        self._query = query
        peer = transport.get_extra_info("peername")
        self._client: tuple[str, int] | None = peer[:2] if isinstance(peer, tuple) and len(peer) >= 2 else None
        self._scheme = "https" if transport.get_extra_info("ssl_object") is not None else "http"
        self._call: RequestCall | None = None
        self._task: asyncio.Task[None] | None = None

    # Calls of the socket

    @property
    def is_busy(self) -> bool:
        """A request is served."""
        return self._task is not None

    def on_part(self) -> None:
        """A message has come, or a part of one."""
        if self._task is None:
            self._task = self._plane.loop.create_task(self._serve())

    def on_end(self, code: EndCode) -> None:
        """Tells the model that nobody waits."""
        if self._call is not None:
            self._call.fail(CallFailedError(code))
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    # Serving

    async def _serve(self) -> None:
        try:
            while self.has_parts and not self.is_closing:
                if self._plane.is_draining:
                    self.end(EndCode.EDGE_DRAINING)
                    return
                try:
                    await self._serve_message()
                except _CutReplyError as cut:
                    self.end(cut.code)
                    return
            if self._plane.is_draining:
                self.end(EndCode.EDGE_DRAINING)
        except Exception as error:
            log.error("message_failed", error=f"{type(error).__name__}: {error}", exc_info=True)
            self.end(EndCode.INTERNAL)
        finally:
            self._task = None

    async def _serve_message(self) -> None:
        """Takes one message, and sends its reply."""
        kind, data = self.take_message()
        content_type = b"application/json" if kind in (Kind.TEXT, Kind.TEXT_FIRST) else b"application/octet-stream"
        call = self._call = RequestCall(
            self._plane,
            self.deployment,
            headers=message_headers(self._headers, content_type, secrets.token_hex(16).encode()),
            body=data,
            body_follows=self.is_amid_message,
            path=self._route.model_path,
            query=self._query,
            client=self._client,
            transport="websocket",
            scheme=self._scheme,
        )
        sending: asyncio.Task[None] | None = None
        try:
            call.begin()
            if self.is_amid_message:
                sending = self._plane.loop.create_task(self._send_rest(call))
            await self._reply(call)
        except CallFailedError as failure:
            if not call.replica_id:
                record_refusal(self.deployment.name, failure.code, failure.status, self._plane.metrics)
            await self.send(int(Kind.TEXT), error_message(failure.status, failure.text, failure.code))
        finally:
            self._call = None
            call.close()
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        while self.is_amid_message:
            # The reply came before the whole request; what is left of it is nobody's.
            await self.next_part()

    async def _send_rest(self, call: RequestCall) -> None:
        """Passes the rest of a long message on, once there is a slot."""
        call.on_open = self._plane.loop.create_future()
        if not call.is_open:
            await call.on_open
        while self.is_amid_message:
            try:
                async with asyncio.timeout(BODY_SILENCE_S):
                    data = await self.next_part()
            except TimeoutError:
                text = f"Nothing of the message has come for {BODY_SILENCE_S:g} s."
                call.fail(CallFailedError(EndCode.REQUEST_TIMEOUT, text, status=408))
                return
            if data and not await call.send_body(data):
                return
        await call.send_body(b"")

    async def _reply(self, call: RequestCall) -> None:
        head = await call.head()
        as_text = is_text(head)
        if head.status >= 400:
            body = bytearray(head.body)
            while head.body_follows and len(body) < ERROR_BODY_BYTES_MAX and (part := await call.next_part()):
                body += part
            await self.send(int(Kind.TEXT), error_message(head.status, bytes(body)))
        elif not head.body_follows:
            await self._send_whole(head.body, as_text=as_text)
        elif is_plain(head):
            await self._send_pieces(call, head.body, as_text=as_text)
        else:
            if head.body:
                await self._send_whole(head.body, as_text=as_text)
            while (piece := await call.next_piece()) is not None:
                data, kind = piece
                if kind == Kind.BINARY:
                    await self._send_whole(data, as_text=as_text)
                else:
                    await self._send_item(call, data, as_text=as_text)
            await self.send(_TEXT, END_MARKER)

    async def _send_whole(self, data: bytes, *, as_text: bool) -> None:
        text = ReplyText(data, is_last=True) if as_text else None
        await self.send(_TEXT if text is not None and text.is_valid else int(Kind.BINARY), data)

    async def _send_pieces(self, call: RequestCall, first: bytes, *, as_text: bool) -> None:
        """Sends one message in frames: `first` and everything that follows."""
        text = ReplyText(first) if as_text else None
        await self.send(_first_kind(text), first)
        try:
            while (piece := await call.next_part()) is not None:
                await self._send_middle(text, piece)
        except CallFailedError as failure:
            raise _CutReplyError(failure.code) from None
        await self._send_last(text, b"")

    async def _send_item(self, call: RequestCall, first: bytes, *, as_text: bool) -> None:
        """Sends one message in frames: `first` and the pieces of the same item."""
        text = ReplyText(first) if as_text else None
        await self.send(_first_kind(text), first)
        try:
            while (piece := await call.next_piece()) is not None:
                data, kind = piece
                if kind == Kind.LAST:
                    await self._send_last(text, data)
                    return
                await self._send_middle(text, data)
        except CallFailedError as failure:
            raise _CutReplyError(failure.code) from None
        raise _CutReplyError(EndCode.INTERNAL)

    async def _send_middle(self, text: ReplyText | None, data: bytes) -> None:
        if text is not None and not text.goes_on(data):
            raise _CutReplyError(EndCode.MODEL_ERROR)
        await self.send(int(Kind.MIDDLE), data)

    async def _send_last(self, text: ReplyText | None, data: bytes) -> None:
        if text is not None and not text.goes_on(data, is_last=True):
            raise _CutReplyError(EndCode.MODEL_ERROR)
        await self.send(_LAST, data)


def _first_kind(text: ReplyText | None) -> int:
    return int(Kind.TEXT_FIRST if text is not None and text.is_valid else Kind.BINARY_FIRST)
