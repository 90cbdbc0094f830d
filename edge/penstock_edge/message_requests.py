"""A WebSocket connection at the predict path: one message is one request, and its reply comes back as messages.

    OPEN ──close sent or received, or the end of the drain──▶ CLOSING ──▶ CLOSED
      └──the client leaves──────────────────────────────────────────────────▲

Requests are served in order, one at a time, and each takes a slot of its own: a connection on which nothing is asked
holds none, and every message may go to another replica. docs/predict.md tells clients what they get.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any

import structlog
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from penstock.api.common.v1 import common_pb2
from penstock.close_codes import TABLE, EndCode, clip_reason, may_be_sent
from penstock.trunk.batch import Kind
from penstock_edge.compressed import CompressedReader, compressed_frame
from penstock_edge.ended import record_refusal
from penstock_edge.frames import FrameReader, Reader, frame_header
from penstock_edge.headers import message_headers
from penstock_edge.liveness import Due, Liveness
from penstock_edge.message_replies import END_MARKER, ReplyText, error_message, is_plain, is_text
from penstock_edge.plane import DataPlane
from penstock_edge.request_call import BODY_SILENCE_S, CallFailedError, RequestCall
from penstock_edge.routing import Route
from penstock_edge.tcp import TcpState, tcp_state

CLOSE_TIMEOUT_S = 10.0
"""Time for the client to answer a close frame before the connection is dropped."""

LOOK_S = 1.0
"""How often the kernel is asked whether the client has left, while its socket is not read."""

READ_AHEAD_BYTES_MAX = 512 * 1024
READ_AHEAD_PARTS_MAX = 32
"""What may have come behind the request that is served. Beyond either the socket is not read, until half is taken."""

WRITE_BUFFER_BYTES_HIGH = 128 * 1024
"""Unsent bytes from which a client counts as slow: no more is taken from the model until they are down to a quarter."""

ERROR_BODY_BYTES_MAX = 64 * 1024
"""How much of a model's answer with an error status is read."""

log = structlog.get_logger("edge")

_TEXT = int(Kind.TEXT)
_LAST = int(Kind.LAST)
_ENDS_BY_LIVENESS = {
    Due.PING_TIMEOUT: EndCode.PING_TIMEOUT,
    Due.IDLE_TIMEOUT: EndCode.IDLE_TIMEOUT,
    Due.STREAM_TOO_OLD: EndCode.STREAM_TOO_OLD,
}


class _CutReplyError(Exception):
    """A message to the client was begun and cannot be completed."""

    def __init__(self, code: EndCode) -> None:
        super().__init__(code)
        self.code = code


class MessageRequests(asyncio.Protocol):
    """One client's connection, from the answer to its upgrade on.

    Args:
        transport: the socket, whose protocol this becomes.
        protocol: the library's, after the handshake.
        headers: those of the upgrade request that reach the model, with every request.
    """

    __slots__ = (
        "_body_waiter",
        "_call",
        "_client",
        "_headers",
        "_is_amid_message",
        "_is_peer_done",
        "_is_read_paused",
        "_is_write_paused",
        "_liveness",
        "_parts",
        "_parts_bytes",
        "_phase_is_closing",
        "_plane",
        "_protocol",
        "_query",
        "_reader",
        "_room",
        "_route",
        "_scheme",
        "_server_state",
        "_task",
        "_timer",
        "_transport",
        "deployment",
    )

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
        self._plane = plane
        self._server_state = server_state
        self._transport = transport
        self._protocol = protocol
        self._route = route
        self.deployment = route.deployment
        self._headers = headers
        self._query = query
        peer = transport.get_extra_info("peername")
        self._client: tuple[str, int] | None = peer[:2] if isinstance(peer, tuple) and len(peer) >= 2 else None
        self._scheme = "https" if transport.get_extra_info("ssl_object") is not None else "http"
        limit = self.deployment.settings.message_bytes_max
        self._reader: Reader = (
            CompressedReader(self, protocol, limit) if protocol.extensions else FrameReader(self, limit)
        )
        self._liveness = Liveness(self.deployment.settings, plane.now())
        self._timer: asyncio.TimerHandle | None = None
        self._phase_is_closing = False
        """A close frame was sent or has come, or the connection is lost."""
        self._is_peer_done = False
        self._is_read_paused = False
        self._is_write_paused = False
        self._parts: deque[tuple[int, bytes]] = deque()
        """Messages and parts of them that were read and not taken."""
        self._parts_bytes = 0
        self._is_amid_message = False
        """The message that was taken last has parts that were not taken."""
        self._body_waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._call: RequestCall | None = None
        self._task: asyncio.Task[None] | None = None
        """Serves what has come; there is none while nothing is asked."""
        server_state.connections.add(self)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_HIGH)
        self._arm()

    # Calls of the transport

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        self._liveness.heard = True
        self._reader.feed(data)

    def eof_received(self) -> bool:
        """The client sends nothing more; without a close frame that is the end."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, and nobody waits for what the model answers."""
        self._server_state.connections.discard(self)
        self._reader.is_stopped = True
        self._stop_work(EndCode.CLIENT_GONE)
        self._phase_is_closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """The client is slow: the model's answer waits."""
        self._is_write_paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._is_write_paused = False
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        self._read_on()

    def shutdown(self) -> None:
        """uvicorn stops, after the edge's own drain."""
        self.end(EndCode.EDGE_DRAINING)

    # From the client

    def on_data(self, kind: int, data: bytes) -> None:
        """A message, or a part of one."""
        if self._phase_is_closing:
            return
        self._liveness.message = True
        self._parts.append((kind, data))
        self._parts_bytes += len(data)
        waiter, self._body_waiter = self._body_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._task is None:
            self._task = self._plane.loop.create_task(self._serve())
        if self._parts_bytes > READ_AHEAD_BYTES_MAX or len(self._parts) > READ_AHEAD_PARTS_MAX:
            self._pause_reading()

    def on_control_frame(self, data: bytes) -> None:
        """A ping, pong or close of the client, for the library."""
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self.on_control_event(event)
        if protocol.parser_exc is not None:
            self._reader.is_stopped = True
            is_text = protocol.close_sent is not None and protocol.close_sent.code == TABLE[EndCode.BAD_UTF8].close_code
            self.end(EndCode.BAD_UTF8 if is_text else EndCode.PROTOCOL_ERROR)
        self.on_control_end()

    def on_control_event(self, frame: Frame) -> None:
        """A control frame that the library has parsed, and answers where that is due."""
        if frame.opcode is Opcode.CLOSE:
            self._reader.is_stopped = True
            self._is_peer_done = True
            self._stop_work(EndCode.CLIENT_CLOSED)
            self._begin_closing()
            self._write_protocol()

    def on_control_end(self) -> None:
        """The library may have something to send in answer."""
        if self._write_protocol() and self._is_write_paused:
            # Else pongs to a client that reads nothing would pile up without end.
            self._pause_reading()

    def on_bad_data(self, code: EndCode, detail: str) -> None:
        """The client broke the protocol or a limit."""
        self.end(code, detail)

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = True
            self._transport.pause_reading()
            if not self._phase_is_closing:
                self._arm()

    def _read_on(self) -> None:
        has_room = self._parts_bytes <= READ_AHEAD_BYTES_MAX // 2 and len(self._parts) <= READ_AHEAD_PARTS_MAX // 2
        if self._is_read_paused and not self._is_write_paused and (has_room or self._phase_is_closing):
            self._is_read_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # Serving

    async def _serve(self) -> None:
        try:
            while self._parts and not self._phase_is_closing:
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
        kind, data = self._take_part()
        self._is_amid_message = kind > _TEXT
        content_type = b"application/json" if kind in (Kind.TEXT, Kind.TEXT_FIRST) else b"application/octet-stream"
        call = self._call = RequestCall(
            self._plane,
            self.deployment,
            headers=message_headers(self._headers, content_type, secrets.token_hex(16).encode()),
            body=data,
            body_follows=self._is_amid_message,
            path=self._route.model_path,
            query=self._query,
            client=self._client,
            transport="websocket",
            scheme=self._scheme,
        )
        sending: asyncio.Task[None] | None = None
        try:
            call.begin()
            if self._is_amid_message:
                sending = self._plane.loop.create_task(self._send_rest(call))
            await self._reply(call)
        except CallFailedError as failure:
            if not call.replica_id:
                record_refusal(self.deployment.name, failure.code, failure.status, self._plane.metrics)
            await self._send(int(Kind.TEXT), error_message(failure.status, failure.text, failure.code))
        finally:
            self._call = None
            call.close()
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        while self._is_amid_message:
            # The reply came before the whole request; what is left of it is nobody's.
            await self._next_part()

    async def _send_rest(self, call: RequestCall) -> None:
        """Passes the rest of a long message on, once there is a slot."""
        call.on_open = self._plane.loop.create_future()
        if not call.is_open:
            await call.on_open
        while self._is_amid_message:
            try:
                async with asyncio.timeout(BODY_SILENCE_S):
                    data = await self._next_part()
            except TimeoutError:
                text = f"Nothing of the message has come for {BODY_SILENCE_S:g} s."
                call.fail(CallFailedError(EndCode.REQUEST_TIMEOUT, text, status=408))
                return
            if data and not await call.send_body(data):
                return
        await call.send_body(b"")

    def _take_part(self) -> tuple[int, bytes]:
        kind, data = self._parts.popleft()
        self._parts_bytes -= len(data)
        self._read_on()
        return kind, data

    async def _next_part(self) -> bytes:
        while not self._parts:
            self._body_waiter = self._plane.loop.create_future()
            await self._body_waiter
        kind, data = self._take_part()
        self._is_amid_message = kind != _LAST
        return data

    async def _reply(self, call: RequestCall) -> None:
        head = await call.head()
        as_text = is_text(head)
        if head.status >= 400:
            body = bytearray(head.body)
            while head.body_follows and len(body) < ERROR_BODY_BYTES_MAX and (part := await call.next_part()):
                body += part
            await self._send(int(Kind.TEXT), error_message(head.status, bytes(body)))
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
            await self._send(_TEXT, END_MARKER)

    async def _send_whole(self, data: bytes, *, as_text: bool) -> None:
        text = ReplyText(data, is_last=True) if as_text else None
        await self._send(_TEXT if text is not None and text.is_valid else int(Kind.BINARY), data)

    async def _send_pieces(self, call: RequestCall, first: bytes, *, as_text: bool) -> None:
        """Sends one message in frames: `first` and everything that follows."""
        text = ReplyText(first) if as_text else None
        await self._send(_first_kind(text), first)
        try:
            while (piece := await call.next_part()) is not None:
                await self._send_middle(text, piece)
        except CallFailedError as failure:
            raise _CutReplyError(failure.code) from None
        await self._send_last(text, b"")

    async def _send_item(self, call: RequestCall, first: bytes, *, as_text: bool) -> None:
        """Sends one message in frames: `first` and the pieces of the same item."""
        text = ReplyText(first) if as_text else None
        await self._send(_first_kind(text), first)
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
        await self._send(int(Kind.MIDDLE), data)

    async def _send_last(self, text: ReplyText | None, data: bytes) -> None:
        if text is not None and not text.goes_on(data, is_last=True):
            raise _CutReplyError(EndCode.MODEL_ERROR)
        await self._send(_LAST, data)

    async def _send(self, kind: int, data: bytes) -> None:
        """Writes one frame; waits while the client is slow."""
        if self._phase_is_closing or self._transport.is_closing():
            return
        self._liveness.message = True
        if self._protocol.extensions:
            self._transport.write(compressed_frame(self._protocol, kind, data))
        else:
            self._transport.writelines((frame_header(kind, len(data)), data))
        if self._is_write_paused:
            self._room = self._plane.loop.create_future()
            await self._room

    # Ending

    def end(self, code: EndCode, detail: str = "") -> None:
        """Closes the connection from the edge's side; a request that is served loses its client."""
        if self._phase_is_closing:
            return
        row = TABLE[code]
        self._stop_work(code)
        if self._protocol.state is State.OPEN:
            reason = clip_reason(f"{row.reason} {detail}" if detail else row.reason)
            self._protocol.send_close(row.close_code if may_be_sent(row.close_code) else 1000, reason)
        self._begin_closing()
        self._write_protocol()
        if self._reader.is_stopped:
            self._write_eof()

    def _stop_work(self, code: EndCode) -> None:
        """Drops what was read, and tells the model that nobody waits."""
        self._parts.clear()
        self._parts_bytes = 0
        if self._call is not None:
            self._call.fail(CallFailedError(code))
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _begin_closing(self) -> None:
        if self._phase_is_closing:
            return
        self._phase_is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._plane.loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)
        self._read_on()

    def _write_protocol(self) -> bool:
        """Writes what the library has prepared, if anything; an empty item asks to end the connection."""
        items = self._protocol.data_to_send()
        for data in items:
            if data:
                self._transport.write(data)
            elif self._is_peer_done:
                self._transport.close()
            else:
                self._write_eof()
        return bool(items)

    def _write_eof(self) -> None:
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    # Liveness

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._liveness.next_check()
        if self._is_read_paused:
            look_at = self._plane.now() + LOOK_S
            due = look_at if due is None else min(due, look_at)
        if due is not None:
            self._timer = self._plane.loop.call_at(due, self._check_liveness)

    def _check_liveness(self) -> None:
        self._timer = None
        if self._phase_is_closing:
            return
        if self._is_read_paused and tcp_state(self._transport) in (TcpState.CLOSED, TcpState.CLOSE_WAIT):
            # It has left, and nobody will read what would be answered.
            self._transport.abort()
            return
        if self._task is not None:
            self._liveness.message = True  # who waits for a reply is not idle
        due = self._liveness.check(self._plane.now(), is_reading=not self._is_read_paused)
        if due is Due.PING:
            self._protocol.send_ping(b"")
            self._write_protocol()
        elif due in _ENDS_BY_LIVENESS:
            self.end(_ENDS_BY_LIVENESS[due])
        if not self._phase_is_closing:
            self._arm()


def _first_kind(text: ReplyText | None) -> int:
    return int(Kind.TEXT_FIRST if text is not None and text.is_valid else Kind.BINARY_FIRST)
