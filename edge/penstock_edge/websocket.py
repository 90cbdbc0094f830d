"""The edge's WebSocket connection: uvicorn hands it the upgraded socket, the trunk carries its messages.

    OPEN ──close sent or received──▶ CLOSING ──▶ CLOSED
      └──the client leaves─────────────────────────▲

It begins where `handshake` ends. No task per connection: the socket's callbacks feed the trunk, the trunk's callbacks
feed the socket. `websockets`' Sans-I/O protocol does control frames and closing; data frames are parsed in `frames`.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from functools import partial
from typing import Any, ClassVar

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, NO_STATUS, TABLE, EndCode, clip_reason, may_be_sent
from penstock.trunk.batch import Kind
from penstock.trunk.stream import NO_SINK, Closing, TrunkStream
from penstock_edge.compressed import CompressedReader, compressed_frame
from penstock_edge.ended import record_end
from penstock_edge.frames import FrameReader, Reader, frame_header
from penstock_edge.leftover import Leftover
from penstock_edge.liveness import Due, Liveness
from penstock_edge.open_streams import address_text
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment
from penstock_edge.tcp import TcpState, tcp_state

CLOSE_TIMEOUT_S = 10.0
"""Time for the client to answer a close frame before the connection is dropped."""

FAREWELL_S = 10.0
"""Time for a model to take what its client sent before it closed; then it is told of the close, whatever is left."""

STUCK_LOOKS_MAX = 3
"""Looks at a client that has sent its last byte, with a model that takes nothing meanwhile, before it is given up."""

JOIN_BYTES_MAX = 16 * 1024
"""Up to this size, output is joined into one buffer; above, handed to the socket as it is."""

WRITE_BUFFER_BYTES_HIGH = 128 * 1024
"""Unsent bytes from which a client counts as slow: credit is withheld until they are down to a quarter."""

_TEXT = int(Kind.TEXT)
_LAST = int(Kind.LAST)


class Phase(Enum):
    """Where a connection is in its life."""

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class EdgeWebSocket(asyncio.Protocol):
    """One client's connection, with its stream.

    Args:
        transport: the socket, whose protocol this becomes.
        protocol: the library's, after the handshake.
        is_reading: whether the socket is read now.
    """

    transport_name: ClassVar[str] = "websocket"

    __slots__ = (
        "_end",
        "_has_pongs_waiting",
        "_hold_bytes",
        "_hold_segments",
        "_is_dirty",
        "_is_peer_done",
        "_is_read_paused",
        "_is_write_paused",
        "_liveness",
        "_out",
        "_out_bytes",
        "_out_segments",
        "_pauses",
        "_pauses_seen",
        "_phase",
        "_plane",
        "_protocol",
        "_reader",
        "_server_state",
        "_stream",
        "_stuck_looks",
        "_timer",
        "_transport",
        "bytes_in",
        "bytes_out",
        "deployment",
        "messages_in",
        "messages_out",
        "opened_at",
        "replica_id",
        "stream_id",
    )

    def __init__(
        self,
        plane: DataPlane,
        server_state: Any,
        transport: asyncio.Transport,
        protocol: ServerProtocol,
        *,
        deployment: Deployment,
        stream: TrunkStream,
        stream_id: str,
        replica_id: str,
        is_reading: bool = True,
    ) -> None:
        self._plane = plane
        self._server_state = server_state
        self._transport = transport
        self._protocol = protocol
        self.deployment = deployment
        self._stream: TrunkStream | None = stream
        self.stream_id = stream_id
        self.replica_id = replica_id
        self._phase = Phase.OPEN
        limit = deployment.settings.message_bytes_max
        self._reader: Reader = (
            CompressedReader(self, protocol, limit) if protocol.extensions else FrameReader(self, limit)
        )
        self.opened_at = plane.now()
        self._liveness = Liveness(deployment.settings, self.opened_at)
        self._timer: asyncio.TimerHandle | None = None
        self._end: tuple[EndCode, int] | None = None
        self._is_peer_done = False
        """The client has sent its close frame, or its side of the connection is gone."""
        self._pauses = 0
        self._pauses_seen = 0
        self._stuck_looks = 0
        self._has_pongs_waiting = False
        """Answers of the library wait in the socket's buffer; until they are gone, the client is not read."""
        self._is_read_paused = not is_reading
        self._is_write_paused = False
        self._is_dirty = False
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._out_segments = 0
        self._hold_bytes = 0
        """Payload bytes that were written while the socket was slow: their credit is held back."""
        self._hold_segments = 0
        self.bytes_in = self.bytes_out = self.messages_in = self.messages_out = 0
        plane.stream_began(self)
        server_state.connections.add(self)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_HIGH)
        self._arm()

    def start(self, early: bytes) -> None:
        """Takes what the client has sent before the upgrade was answered."""
        self.data_received(early)
        if self._stream is not None and not self._stream.is_blocked:
            self._resume_reading()

    # Calls of the transport

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        if self._phase is Phase.OPEN:
            self._liveness.heard = True
            self._reader.feed(data)
        elif self._phase is Phase.CLOSING:
            self._reader.feed(data)

    def eof_received(self) -> bool:
        """The client sends nothing more; without a close frame that is the end."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._server_state.connections.discard(self)
        self._phase = Phase.CLOSED
        self._is_peer_done = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._out = []
        stream = self._stream
        if stream is not None:
            code, close_code = self._end or (EndCode.CLIENT_GONE, ABNORMAL)
            if code is EndCode.CLIENT_CLOSED and stream.is_blocked:
                # It said goodbye behind its last messages: the model may still take them, for a while.
                self._plane.loop.call_later(FAREWELL_S, partial(stream.close, code, close_code, discard=True))
            else:
                stream.close(code, close_code, discard=True)
            self._finish(code, close_code)
        self._reader.is_stopped = True

    def pause_writing(self) -> None:
        """The client is slow: from now on credit is held back."""
        self._is_write_paused = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._is_write_paused = False
        if self._has_pongs_waiting:
            self._has_pongs_waiting = False
            if self._stream is None or not self._stream.is_blocked:
                self._resume_reading()
        if self._hold_segments and self._stream is not None:
            self._stream.consumed(self._hold_bytes, self._hold_segments)
        self._hold_bytes = self._hold_segments = 0

    def shutdown(self) -> None:
        """uvicorn stops, after the edge's own drain: whatever is still open is ended."""
        self.end(EndCode.EDGE_DRAINING)

    # Client to model

    def on_data(self, kind: int, data: bytes) -> None:
        """A message or segment of the client."""
        if self._phase is not Phase.OPEN:
            return
        self.bytes_in += len(data)
        if kind <= _TEXT or kind == _LAST:
            self.messages_in += 1
        self._liveness.message = True
        if not self._stream.send(kind, data) and not self._is_read_paused:  # type: ignore[union-attr]
            self._pause_reading()

    def on_writable(self) -> None:
        """What was queued for the model is on its way."""
        if self._phase is Phase.OPEN and not self._has_pongs_waiting:
            self._resume_reading()

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
            self.on_bad_data(EndCode.BAD_UTF8 if is_text else EndCode.PROTOCOL_ERROR, "")
        self.on_control_end()

    def on_control_event(self, frame: Frame) -> None:
        """A control frame that the library has parsed, and answers where that is due."""
        if frame.opcode is Opcode.CLOSE:
            self._client_closed()

    def on_control_end(self) -> None:
        """The library may have something to send in answer."""
        if self._write_protocol() and self._is_write_paused:
            # Else pongs to a client that reads nothing would pile up without end.
            self._has_pongs_waiting = True
            self._pause_reading()

    def _client_closed(self) -> None:
        """The client's close frame: the library has prepared the answer, if one is due."""
        received = self._protocol.close_rcvd
        code = int(received.code) if received is not None else NO_STATUS
        reason = received.reason if received is not None else ""
        self._reader.is_stopped = True
        self._is_peer_done = True
        self._close_stream(EndCode.CLIENT_CLOSED, code, reason)
        self.flush()
        self._begin_closing()
        self._write_protocol()

    def on_bad_data(self, code: EndCode, detail: str) -> None:
        """The client broke the protocol or a limit."""
        if self._phase is Phase.OPEN:
            self.end(code, detail)

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = True
            self._pauses += 1
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_read_paused and not self._transport.is_closing():
            self._is_read_paused = False
            self._transport.resume_reading()

    # Model to client

    def on_segment(self, kind: int, data: bytes) -> None:
        """A message or segment of the model; written at the end of the batch."""
        if self._phase is not Phase.OPEN:
            return
        size = len(data)
        out = self._out
        if self._protocol.extensions:
            out.append(compressed_frame(self._protocol, kind, data))
        else:
            out.append(frame_header(kind, size))
            out.append(data)
        self._out_bytes += size
        self._out_segments += 1
        if kind <= _TEXT or kind == _LAST:
            self.messages_out += 1
        if not self._is_dirty:
            self._is_dirty = True
            self._plane.dirty.append(self)

    def flush(self) -> None:
        """Writes what the batch has brought, and returns its credit unless the client is slow."""
        self._is_dirty = False
        out = self._out
        if not out or self._phase is not Phase.OPEN or self._transport.is_closing():
            self._out = []
            self._out_bytes = self._out_segments = 0
            return
        size, segments = self._out_bytes, self._out_segments
        self._out = []
        self._out_bytes = self._out_segments = 0
        if size <= JOIN_BYTES_MAX:
            self._transport.write(b"".join(out))
        else:
            self._transport.writelines(out)
        self.bytes_out += size
        self._liveness.message = True
        if self._is_write_paused:
            self._hold_bytes += size
            self._hold_segments += segments
        else:
            self._stream.consumed(size, segments)  # type: ignore[union-attr]

    def on_close(self, closing: Closing) -> None:
        """The model has closed, its handler has ended, or the replica is lost."""
        self.flush()
        if self._phase is Phase.OPEN:
            self._end = (closing.code, closing.close_code)
            self._send_close(closing.close_code, closing.reason)
        elif self._phase is Phase.CLOSING and self._is_peer_done:
            self._finish(*(self._end or (closing.code, closing.close_code)))

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """Never called: the opening takes the answer."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """Never called: the opening takes the answer."""

    # Ending

    def end(self, code: EndCode, detail: str = "") -> None:
        """Ends the stream from the edge's side, both ways."""
        if self._phase is Phase.OPEN:
            row = TABLE[code]
            self.flush()
            self._close_stream(code, row.close_code, row.reason)
            self._send_close(row.close_code, row.reason if not detail else clip_reason(f"{row.reason} {detail}"))

    def end_by_operator(self, close_code: int, reason: str) -> bool:
        """Ends the stream with a code and reason that an operator has chosen."""
        if self._phase is not Phase.OPEN:
            return False
        self.flush()
        self._close_stream(EndCode.OPERATOR_CLOSED, close_code, reason)
        self._send_close(close_code, reason)
        return True

    def _close_stream(self, code: EndCode, close_code: int, reason: str = "") -> None:
        """Tells the model that the client's side is over."""
        if self._end is None:
            self._end = (code, close_code)
        if self._stream is not None:
            self._stream.close(code, close_code, reason)

    def _send_close(self, code: int, reason: str) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code if may_be_sent(code) else 1000, clip_reason(reason))
        self._begin_closing()
        self._write_protocol()
        if self._reader.is_stopped:
            self._write_eof()

    def _begin_closing(self) -> None:
        """From here only the client's close frame, or the end of the connection, matters."""
        if self._phase is not Phase.OPEN:
            return
        self._phase = Phase.CLOSING
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._plane.loop.call_later(CLOSE_TIMEOUT_S, self._abort)
        self._resume_reading()

    def _abort(self) -> None:
        self._timer = None
        self._transport.abort()

    def _finish(self, code: EndCode, close_code: int) -> None:
        """The stream is over: counts it once."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if not stream.is_remote_closed:
            stream.sink = Leftover(self._plane, self.deployment.id, self.replica_id)
        else:
            stream.sink = NO_SINK
            self._plane.stream_ended(self.deployment.id, self.replica_id)
        self._plane.stream_over(self)
        record_end(self, code, close_code, self._plane.now(), self._plane.metrics)

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
        """Half-closes towards a client that broke the framing, so that no answer of it can be read.

        Closing outright would reset the connection while its data is still arriving, and the close frame with it.
        """
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    # For operators

    def client_address(self) -> str:
        """Returns "host:port" of the peer; empty on a unix socket."""
        peer = self._transport.get_extra_info("peername")
        return address_text(*peer[:2]) if isinstance(peer, tuple) else ""

    def silent_for(self, now: float) -> float:
        """See `Liveness.silent_for`."""
        return self._liveness.silent_for(now)

    # Liveness

    def _has_client_left(self) -> bool:
        """Asks the kernel, while the socket is not read because the model is slow."""
        state = tcp_state(self._transport)
        if state is not TcpState.CLOSE_WAIT or self._pauses != self._pauses_seen:
            self._pauses_seen = self._pauses
            self._stuck_looks = 0
            return state is TcpState.CLOSED
        # It has sent its last byte. The model may take what is there, unless it takes next to nothing: one read of the
        # socket, 256 KiB at most, in all that time.
        self._stuck_looks += 1
        return self._stuck_looks >= STUCK_LOOKS_MAX

    def _arm(self) -> None:
        due = self._liveness.next_check()
        if due is not None:
            self._timer = self._plane.loop.call_at(due, self._check_liveness)

    def _check_liveness(self) -> None:
        self._timer = None
        if self._phase is not Phase.OPEN:
            return
        if self._is_read_paused and self._has_client_left():
            self._transport.abort()
            return
        due = self._liveness.check(self._plane.now(), is_reading=not self._is_read_paused)
        if due is Due.PING:
            self._protocol.send_ping(b"")
            self._write_protocol()
        elif due is Due.PING_TIMEOUT:
            self.end(EndCode.PING_TIMEOUT)
        elif due is Due.IDLE_TIMEOUT:
            self.end(EndCode.IDLE_TIMEOUT)
        elif due is Due.STREAM_TOO_OLD:
            self.end(EndCode.STREAM_TOO_OLD)
        if self._phase is Phase.OPEN:
            self._arm()
