"""A WebSocket connection whose messages are read ahead a little and taken one by one: frames, limits, pings, closing.

    OPEN ──close sent or received──▶ CLOSING ──▶ CLOSED
      └──the client leaves──────────────────────────▲

`websockets`' Sans-I/O protocol does control frames and closing; data frames are parsed in `frames`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from penstock.close_codes import TABLE, EndCode, clip_reason, may_be_sent
from penstock.trunk.batch import Kind
from penstock_edge.compressed import CompressedReader, compressed_frame
from penstock_edge.frames import FrameReader, Reader, frame_header
from penstock_edge.liveness import Due, Liveness
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment
from penstock_edge.tcp import TcpState, tcp_state

CLOSE_TIMEOUT_S = 10.0
"""Time for the client to answer a close frame before the connection is dropped."""

LOOK_S = 1.0
"""How often the kernel is asked whether the client has left, while its socket is not read."""

READ_AHEAD_BYTES_MAX = 512 * 1024
READ_AHEAD_PARTS_MAX = 32
"""What may have come and not been taken. Beyond either the socket is not read, until half is taken."""

WRITE_BUFFER_BYTES_HIGH = 128 * 1024
"""Unsent bytes from which a client counts as slow: who sends waits until they are down to a quarter."""

_TEXT = int(Kind.TEXT)
_LAST = int(Kind.LAST)
_ENDS_BY_LIVENESS = {
    Due.PING_TIMEOUT: EndCode.PING_TIMEOUT,
    Due.IDLE_TIMEOUT: EndCode.IDLE_TIMEOUT,
    Due.STREAM_TOO_OLD: EndCode.STREAM_TOO_OLD,
}


class MessageSocket(asyncio.Protocol):
    """One client's connection, from the answer to its upgrade on. Who serves its messages derives from it.

    Args:
        transport: the socket, whose protocol this becomes.
        protocol: the library's, after the handshake.
    """

    __slots__ = (
        "_is_peer_done",
        "_is_read_paused",
        "_is_write_paused",
        "_liveness",
        "_part_waiter",
        "_parts",
        "_parts_bytes",
        "_plane",
        "_protocol",
        "_reader",
        "_room",
        "_server_state",
        "_timer",
        "_transport",
        "deployment",
        "is_amid_message",
        "is_closing",
    )

    def __init__(
        self,
        plane: DataPlane,
        server_state: Any,
        transport: asyncio.Transport,
        protocol: ServerProtocol,
        deployment: Deployment,
    ) -> None:
        self._plane = plane
        self._server_state = server_state
        self._transport = transport
        self._protocol = protocol
        self.deployment = deployment
        limit = deployment.settings.message_bytes_max
        self._reader: Reader = (
            CompressedReader(self, protocol, limit) if protocol.extensions else FrameReader(self, limit)
        )
        self._liveness = Liveness(deployment.settings, plane.now())
        self._timer: asyncio.TimerHandle | None = None
        self.is_closing = False
        """A close frame was sent or has come, or the connection is lost."""
        self._is_peer_done = False
        self._is_read_paused = False
        self._is_write_paused = False
        self._parts: deque[tuple[int, bytes]] = deque()
        """Messages and parts of them that were read and not taken."""
        self._parts_bytes = 0
        self.is_amid_message = False
        """The message that was taken last has parts that were not taken."""
        self._part_waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        server_state.connections.add(self)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_HIGH)
        self._arm()

    # For who serves the messages

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """A message is served: the connection is not idle."""

    @abstractmethod
    def on_part(self) -> None:
        """A message has come, or a part of one."""

    @abstractmethod
    def on_end(self, code: EndCode) -> None:
        """Nobody waits for a reply any more; what was not taken is dropped."""

    @property
    def has_parts(self) -> bool:
        """There is something to take."""
        return bool(self._parts)

    def take_message(self) -> tuple[int, bytes]:
        """Takes a message, or the first part of one: its kind and data. There must be one."""
        kind, data = self._take_part()
        self.is_amid_message = kind > _TEXT
        return kind, data

    async def next_part(self) -> bytes:
        """Takes the next part of the message that was taken last; waits for it."""
        while not self._parts:
            self._part_waiter = self._plane.loop.create_future()
            await self._part_waiter
        kind, data = self._take_part()
        self.is_amid_message = kind != _LAST
        return data

    def _take_part(self) -> tuple[int, bytes]:
        kind, data = self._parts.popleft()
        self._parts_bytes -= len(data)
        self._read_on()
        return kind, data

    async def send(self, kind: int, data: bytes) -> None:
        """Writes one frame; waits while the client is slow."""
        if self.is_closing or self._transport.is_closing():
            return
        self._liveness.message = True
        if self._protocol.extensions:
            self._transport.write(compressed_frame(self._protocol, kind, data))
        else:
            self._transport.writelines((frame_header(kind, len(data)), data))
        if self._is_write_paused:
            self._room = self._plane.loop.create_future()
            await self._room

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
        self._drop(EndCode.CLIENT_GONE)
        self.is_closing = True
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
        if self.is_closing:
            return
        self._liveness.message = True
        self._parts.append((kind, data))
        self._parts_bytes += len(data)
        waiter, self._part_waiter = self._part_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self.on_part()
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
            self._drop(EndCode.CLIENT_CLOSED)
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
            if not self.is_closing:
                self._arm()

    def _read_on(self) -> None:
        has_room = self._parts_bytes <= READ_AHEAD_BYTES_MAX // 2 and len(self._parts) <= READ_AHEAD_PARTS_MAX // 2
        if self._is_read_paused and not self._is_write_paused and (has_room or self.is_closing):
            self._is_read_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # Ending

    def end(self, code: EndCode, detail: str = "") -> None:
        """Closes the connection from the edge's side; a request that is served loses its client."""
        if self.is_closing:
            return
        row = TABLE[code]
        self._drop(code)
        if self._protocol.state is State.OPEN:
            reason = clip_reason(f"{row.reason} {detail}" if detail else row.reason)
            self._protocol.send_close(row.close_code if may_be_sent(row.close_code) else 1000, reason)
        self._begin_closing()
        self._write_protocol()
        if self._reader.is_stopped:
            self._write_eof()

    def _drop(self, code: EndCode) -> None:
        self._parts.clear()
        self._parts_bytes = 0
        self.on_end(code)

    def _begin_closing(self) -> None:
        if self.is_closing:
            return
        self.is_closing = True
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
        if self.is_closing:
            return
        if self._is_read_paused and tcp_state(self._transport) in (TcpState.CLOSED, TcpState.CLOSE_WAIT):
            # It has left, and nobody will read what would be answered.
            self._transport.abort()
            return
        if self.is_busy:
            self._liveness.message = True  # who waits for a reply is not idle
        due = self._liveness.check(self._plane.now(), is_reading=not self._is_read_paused)
        if due is Due.PING:
            self._protocol.send_ping(b"")
            self._write_protocol()
        elif due in _ENDS_BY_LIVENESS:
            self.end(_ENDS_BY_LIVENESS[due])
        if not self.is_closing:
            self._arm()
