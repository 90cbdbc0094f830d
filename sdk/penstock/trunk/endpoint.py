"""State machine of one side of a trunk: what comes in as bytes leaves as calls of sinks, and the other way round.

Pure: no I/O, no clock. The owner feeds it with `receive(payload)` and `lose()`, asks it for `take_batch()` whenever
`on_output` was called, and gives every stream a sink. Whatever a peer sends, `receive` does not raise: it answers with
a `TrunkFault`, after which the endpoint is over and every stream has been told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import DecodeError

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, EndCode, clip_reason, end
from penstock.trunk.batch import BadBatchError, Kind, decode, encode
from penstock.trunk.limits import (
    BATCH_BYTES_MAX,
    BATCH_ITEMS_MAX,
    ITEM_COST,
    PROTOCOL_VERSION,
    QUANTUM_BYTES,
    SEGMENT_BYTES_MAX,
    STREAM_ID_MAX,
    STREAMS_MAX,
    WINDOW_BYTES,
    WINDOW_BYTES_MAX,
    WINDOW_BYTES_MIN,
)
from penstock.trunk.stream import Closing, TrunkStream

_TEXT = int(Kind.TEXT)
_LAST = int(Kind.LAST)
"""Integers, because looking up a member of an enum costs more than the rest of an item's checks."""


class Role(Enum):
    """Which side of the trunk an endpoint is. Only an edge opens streams."""

    EDGE = "edge"
    RUNNER = "runner"


@dataclass(frozen=True, slots=True)
class TrunkFault:
    """Why a trunk ended. `detail` holds no payload and may be logged."""

    detail: str


class _ProtocolError(Exception):
    """Inside `receive` only."""


class Endpoint:
    """One side of one trunk.

    Args:
        role: which side this is.
        peer_name: this side's own id, told to the peer in its Hello.
        on_output: called when a batch can be taken; not again before `take_batch` has returned None.
        on_hello: called once, when the peer's Hello has come; from then on an edge may open streams.
        on_open: runner only: called for every new stream. Set its sink, then accept or reject it, now or later; close
            only what was accepted, or what the edge has closed.
        on_go_away: edge only: the runner wants no more streams; the argument says why.
    """

    def __init__(
        self,
        role: Role,
        peer_name: str,
        *,
        on_output: Callable[[], None],
        on_hello: Callable[[], None] | None = None,
        on_open: Callable[[TrunkStream, trunk_pb2.OpenStream], None] | None = None,
        on_go_away: Callable[[str], None] | None = None,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._role = role
        self._on_output = on_output
        self._on_hello = on_hello
        self._on_open = on_open
        self._on_go_away = on_go_away
        self._out_type = trunk_pb2.ConnectRequest if role is Role.EDGE else trunk_pb2.ConnectResponse
        self._in_type = trunk_pb2.ConnectResponse if role is Role.EDGE else trunk_pb2.ConnectRequest
        self._window_bytes = window_bytes
        self._peer_window_bytes = 0
        self.peer_name: str | None = None
        """The peer's id; None until its Hello has come."""
        self.fault: TrunkFault | None = None
        """Why the trunk is over; None while it lives."""
        self.streams: dict[int, TrunkStream] = {}
        """Every stream that is not over."""
        self.last_id = 0
        """Highest stream id that was used."""
        self._credit: dict[int, int] = {}
        self.ready: deque[TrunkStream] = deque()
        """Ring of streams with a backlog that credit allows to send; each stands in it at most once."""
        self.batch_data: list[bytes] = []
        self.batch_stream: list[int] = []
        self.batch_kind = bytearray()
        self.batch_bytes = 0
        self.taken_items = 0
        """Items of the batch that was taken last."""
        self.is_output_announced = False
        hello = trunk_pb2.Hello(protocol_version=PROTOCOL_VERSION, peer_id=peer_name, window_bytes=window_bytes)
        self.put(0, Kind.HELLO, hello.SerializeToString())

    # Sending

    def announce_output(self) -> None:
        """Calls `on_output` once until everything has been taken."""
        self.is_output_announced = True
        self._on_output()

    def put(self, stream_id: int, kind: int, data: bytes) -> None:
        """Adds an item to the batch, behind what is there."""
        if self.fault is not None:
            return
        self.batch_data.append(data)
        self.batch_stream.append(stream_id)
        self.batch_kind.append(kind)
        self.batch_bytes += len(data)
        if not self.is_output_announced:
            self.announce_output()

    def return_credit(self, stream_id: int, credit_bytes: int) -> None:
        """Returns credit to the peer with the next batch."""
        self._credit[stream_id] = self._credit.get(stream_id, 0) + credit_bytes
        if not self.is_output_announced:
            self.announce_output()

    def take_batch(self) -> bytes | None:
        """Returns the next encoded batch, or None when there is nothing to send."""
        ready = self.ready
        while ready and self.batch_bytes < BATCH_BYTES_MAX and len(self.batch_kind) < BATCH_ITEMS_MAX:
            stream = ready.popleft()
            # Alone, it need not be cut finely.
            if stream.take_turn(QUANTUM_BYTES if ready else SEGMENT_BYTES_MAX):
                ready.append(stream)
            elif not stream.is_blocked:
                stream.sink.on_writable()
        self.taken_items = len(self.batch_kind)
        if not self.batch_kind and not self._credit:
            self.is_output_announced = False
            return None
        if self.taken_items > BATCH_ITEMS_MAX or self.batch_bytes > BATCH_BYTES_MAX + SEGMENT_BYTES_MAX:
            return self._take_part()
        payload = encode(
            self._out_type,
            data=self.batch_data,
            data_bytes=self.batch_bytes,
            stream=self.batch_stream,
            kind=self.batch_kind,
            credit=self._credit,
        )
        self.batch_data = []
        self.batch_stream = []
        self.batch_kind = bytearray()
        self.batch_bytes = 0
        self._credit = {}
        return payload

    def _take_part(self) -> bytes:
        """Encodes what fits a batch and leaves the rest: when thousands of streams open at once, not all fit."""
        items = taken_bytes = 0
        while items < min(BATCH_ITEMS_MAX, len(self.batch_data)) and taken_bytes < BATCH_BYTES_MAX:
            taken_bytes += len(self.batch_data[items])
            items += 1
        payload = encode(
            self._out_type,
            data=self.batch_data[:items],
            data_bytes=taken_bytes,
            stream=self.batch_stream[:items],
            kind=self.batch_kind[:items],
            credit=self._credit,
        )
        del self.batch_data[:items], self.batch_stream[:items], self.batch_kind[:items]
        self.batch_bytes -= taken_bytes
        self._credit = {}
        self.taken_items = items
        return payload

    @staticmethod
    def close_payload(code: EndCode, close_code: int, reason: str) -> bytes:
        """Encodes a CloseStream."""
        return trunk_pb2.CloseStream(code=code, close_code=close_code, reason=clip_reason(reason)).SerializeToString()

    def open(self, request: trunk_pb2.OpenStream) -> TrunkStream:
        """Edge only: opens a stream. Set its sink before the next `receive`.

        Raises:
            RuntimeError: the peer's Hello has not come, the trunk is over, or its ids are used up.
        """
        if self._role is not Role.EDGE or self.peer_name is None or self.fault is not None:
            raise RuntimeError("streams are opened by an edge, on a living trunk, after the Hello")
        if self.last_id >= STREAM_ID_MAX or len(self.streams) >= STREAMS_MAX:
            raise RuntimeError("trunk is full")
        self.last_id += 1
        stream = TrunkStream(self, self.last_id, send_credit=self._peer_window_bytes, receive_window=self._window_bytes)
        self.streams[stream.id] = stream
        self.put(stream.id, Kind.OPEN, request.SerializeToString())
        return stream

    def accept(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream) -> None:
        """Runner only: gives the stream its slot. Nothing happens when the client has left meanwhile."""
        if not stream.is_send_closed and not stream.is_accepted:
            stream.is_accepted = True
            self.put(stream.id, Kind.ACCEPT, accept.SerializeToString())

    def reject(self, stream: TrunkStream, reject: trunk_pb2.RejectStream) -> None:
        """Runner only: refuses the stream, which is over then."""
        if stream.is_local_closed or stream.is_accepted:
            return
        self.put(stream.id, Kind.REJECT, reject.SerializeToString())
        self.forget(stream)

    def go_away(self, reason: str) -> None:
        """Runner only: asks the edge to open no more streams here."""
        self.put(0, Kind.GO_AWAY, trunk_pb2.GoAway(reason=reason).SerializeToString())

    def forget(self, stream: TrunkStream) -> None:
        """Takes a stream that is over out of the table."""
        stream.drop()
        self.streams.pop(stream.id, None)
        self._credit.pop(stream.id, None)

    # Receiving

    def receive(self, payload: bytes) -> TrunkFault | None:
        """Takes in one batch of the peer. Returns why the trunk is over, if it is; then end the call."""
        if self.fault is not None:
            return self.fault
        try:
            batch = decode(self._in_type, payload)
            if batch.credit_stream:
                self._take_credit(batch.credit_stream, batch.credit_bytes)
            streams = self.streams
            if self.peer_name is None and batch.kind:
                self._expect_hello(batch.kind[0], batch.stream[0])
            for stream_id, kind, data in zip(batch.stream, batch.kind, batch.data, strict=True):
                if kind > _LAST:
                    self._receive_control(stream_id, kind, data)
                    if self.fault is not None:  # the owner has given the trunk up
                        break
                    continue
                stream = streams.get(stream_id)
                if stream is None or stream.is_remote_closed or not stream.is_accepted:
                    raise _ProtocolError("data on a stream that is not open")
                window = stream.receive_window - len(data) - ITEM_COST
                if window < 0:
                    raise _ProtocolError("more data than credit")
                stream.receive_window = window
                if kind > _TEXT or stream.in_message:
                    self._check_segment(stream, kind)
                elif kind == 0:
                    raise _ProtocolError("item kind 0")
                if len(data) > SEGMENT_BYTES_MAX:
                    raise _ProtocolError("segment is too long")
                stream.sink.on_segment(kind, data)
        except (_ProtocolError, BadBatchError) as error:
            return self.lose(str(error))
        except DecodeError:
            return self.lose("payload of a control item is not valid protobuf")
        return self.fault

    def lose(self, detail: str) -> TrunkFault:
        """Ends the trunk: the peer broke the protocol, or the call broke. Every stream is told once."""
        if self.fault is None:
            self.fault = TrunkFault(detail)
            lost, self.streams = list(self.streams.values()), {}
            self.ready.clear()
            self.batch_data, self.batch_stream, self.batch_kind, self.batch_bytes = [], [], bytearray(), 0
            self._credit = {}
            if self._role is Role.EDGE:
                closing = Closing(EndCode.REPLICA_LOST, end("REPLICA_LOST").close_code, end("REPLICA_LOST").reason)
            else:
                closing = Closing(EndCode.CLIENT_GONE, ABNORMAL, "")
            for stream in lost:
                sink, was_closed = stream.sink, stream.is_remote_closed
                stream.drop()
                if not was_closed:
                    sink.on_close(closing)
        return self.fault

    def _take_credit(self, streams: list[int], amounts: list[int]) -> None:
        for stream_id, amount in zip(streams, amounts, strict=True):
            stream = self.streams.get(stream_id)
            if stream is None:
                if not 0 < stream_id <= self.last_id:
                    raise _ProtocolError("credit for a stream that was never open")
                continue  # it crossed our close
            stream.send_credit += amount
            if amount == 0 or stream.send_credit > self._peer_window_bytes:
                raise _ProtocolError("credit outside the window")
            stream.wake()

    def _expect_hello(self, kind: int, stream_id: int) -> None:
        if kind != Kind.HELLO or stream_id != 0:
            raise _ProtocolError("the first item is not a Hello")

    @staticmethod
    def _check_segment(stream: TrunkStream, kind: int) -> None:
        continues = kind in (Kind.MIDDLE, Kind.LAST)
        if continues != stream.in_message:
            raise _ProtocolError("segment out of order")
        stream.in_message = kind != Kind.LAST

    def _receive_control(self, stream_id: int, kind: int, data: bytes) -> None:
        if kind == Kind.HELLO and self.peer_name is None and stream_id == 0:
            self._receive_hello(trunk_pb2.Hello.FromString(data))
        elif kind == Kind.OPEN and self._role is Role.RUNNER:
            self._receive_open(stream_id, trunk_pb2.OpenStream.FromString(data))
        elif kind == Kind.CLOSE:
            self._receive_close(stream_id, trunk_pb2.CloseStream.FromString(data))
        elif kind == Kind.ACCEPT and self._role is Role.EDGE:
            stream = self._opening(stream_id)
            stream.is_accepted = True
            stream.sink.on_accept(trunk_pb2.AcceptStream.FromString(data))
        elif kind == Kind.REJECT and self._role is Role.EDGE:
            stream = self._opening(stream_id)
            reject = trunk_pb2.RejectStream.FromString(data)
            sink = stream.sink
            self.forget(stream)
            sink.on_reject(reject)
        elif kind == Kind.GO_AWAY and self._role is Role.EDGE and stream_id == 0:
            reason = trunk_pb2.GoAway.FromString(data).reason
            if self._on_go_away is not None:
                self._on_go_away(reason)
        else:
            raise _ProtocolError(f"item kind {kind} out of place")

    def _opening(self, stream_id: int) -> TrunkStream:
        stream = self.streams.get(stream_id)
        if stream is None or stream.is_accepted or stream.is_remote_closed:
            raise _ProtocolError("answer to a stream that is not opening")
        return stream

    def _receive_hello(self, hello: trunk_pb2.Hello) -> None:
        if hello.protocol_version != PROTOCOL_VERSION:
            raise _ProtocolError(f"peer speaks version {hello.protocol_version}, this side {PROTOCOL_VERSION}")
        if not WINDOW_BYTES_MIN <= hello.window_bytes <= WINDOW_BYTES_MAX:
            raise _ProtocolError(f"window of {hello.window_bytes} bytes is out of range")
        self._peer_window_bytes = hello.window_bytes
        self.peer_name = hello.peer_id
        if self._on_hello is not None:
            self._on_hello()

    def _receive_open(self, stream_id: int, request: trunk_pb2.OpenStream) -> None:
        if stream_id <= self.last_id:
            raise _ProtocolError("stream id was used before")
        if len(self.streams) >= STREAMS_MAX:
            raise _ProtocolError("too many streams")
        self.last_id = stream_id
        stream = TrunkStream(self, stream_id, send_credit=self._peer_window_bytes, receive_window=self._window_bytes)
        self.streams[stream_id] = stream
        if self._on_open is not None:
            self._on_open(stream, request)

    def _receive_close(self, stream_id: int, close: trunk_pb2.CloseStream) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            if self._role is Role.RUNNER and 0 < stream_id <= self.last_id:
                return  # it crossed our rejection
            raise _ProtocolError("close of a stream that is not open")
        if stream.is_remote_closed:
            raise _ProtocolError("stream is closed twice")
        if self._role is Role.EDGE and not stream.is_accepted and not stream.is_local_closed:
            raise _ProtocolError("close of a stream that was never accepted")
        stream.peer_closed()
        closing = Closing(end(close.code).code, close.close_code or 1000, clip_reason(close.reason))
        sink = stream.sink
        if stream.is_local_closed:
            self.forget(stream)
        sink.on_close(closing)
