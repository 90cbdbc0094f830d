"""One side's view of one stream on a trunk.

    OPENING ──accept──▶ OPEN ──close sent──▶ LOCAL_CLOSED ──close received──▶ OVER
       │                  └──close received──▶ REMOTE_CLOSED ──close sent──────▲
       └──reject, or lost trunk (from every state)─────────────────────────────┘

(An edge may also close in OPENING, when its client leaves early.)
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import (
    BATCH_BYTES_MAX,
    BATCH_ITEMS_MAX,
    CREDIT_RETURN_BYTES,
    ITEM_COST,
    SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN,
)

if TYPE_CHECKING:
    from penstock.api.trunk.v1 import trunk_pb2
    from penstock.trunk.endpoint import Endpoint


class Closing(NamedTuple):
    """Why and how a stream ended."""

    code: EndCode
    close_code: int
    reason: str


class StreamSink(Protocol):
    """What a stream tells its owner. The calls come from inside `Endpoint.receive` and `Endpoint.take_batch`.

    They must not raise, and must not block.
    """

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """Edge only: the stream has a slot; it may carry data from now on."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """Edge only: the stream has no slot and is over."""

    def on_segment(self, kind: int, data: bytes) -> None:
        """Data, in order. Its cost has to be returned by `TrunkStream.consumed` when it has gone on its way."""

    def on_close(self, closing: Closing) -> None:
        """The peer sends nothing more, or the trunk is lost. Comes at most once, and never after `on_reject`."""

    def on_writable(self) -> None:
        """Everything that was queued is on its way; more may be sent."""


class TrunkStream:
    """A stream on one trunk. Made by `Endpoint`, never by hand."""

    __slots__ = (
        "_backlog",
        "_endpoint",
        "_owed",
        "id",
        "in_message",
        "is_accepted",
        "is_local_closed",
        "is_ready",
        "is_remote_closed",
        "is_send_closed",
        "receive_window",
        "send_credit",
        "sink",
    )

    def __init__(self, endpoint: Endpoint, stream_id: int, *, send_credit: int, receive_window: int) -> None:
        self._endpoint = endpoint
        self.id = stream_id
        self.sink: StreamSink = NO_SINK
        self.send_credit = send_credit
        """Bytes that the peer can still take. Never negative, never above the peer's window."""
        self.receive_window = receive_window
        """Bytes that the peer may still send. Never negative."""
        self._owed = 0
        """Bytes consumed here and not yet returned. receive_window + _owed + unconsumed = granted window."""
        self._backlog: deque[tuple[int, bytes, int]] | None = None
        """Items that wait for credit or for their turn: (kind, data, offset of what is not sent yet)."""
        self.is_ready = False
        """It stands in the endpoint's ring of backlogged streams that can send."""
        self.is_accepted = False
        self.is_local_closed = False
        self.is_remote_closed = False
        self.is_send_closed = False
        """Either side has closed: what is sent now is dropped."""
        self.in_message = False
        """The peer has begun a message and not ended it."""

    @property
    def is_blocked(self) -> bool:
        """Whether something is queued; `on_writable` comes when it no longer is."""
        return bool(self._backlog)

    def send(self, kind: int, data: bytes) -> bool:
        """Sends a whole message (BINARY or TEXT, any length) or a segment (at most 256 KiB).

        Returns False when it had to be queued: send nothing more until `on_writable`. After a close, or on a lost
        trunk, the data is dropped and True is returned; `on_close` tells of it.
        """
        size = len(data)
        endpoint = self._endpoint
        if (
            size + ITEM_COST <= self.send_credit
            and not self._backlog
            and not endpoint.ready
            and size <= SEGMENT_BYTES_MAX
            and endpoint.batch_bytes < BATCH_BYTES_MAX
            and len(endpoint.batch_kind) < BATCH_ITEMS_MAX
            and not self.is_send_closed
        ):
            self.send_credit -= size + ITEM_COST
            endpoint.batch_bytes += size
            endpoint.batch_data.append(data)
            endpoint.batch_stream.append(self.id)
            endpoint.batch_kind.append(kind)
            if not endpoint.is_output_announced:
                endpoint.announce_output()
            return True
        if self.is_send_closed:
            return True
        self._queue(kind, data)
        return False

    def _queue(self, kind: int, data: bytes) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append((kind, data, 0))
        self.wake()

    def wake(self) -> None:
        """Takes a place in the ring when the head of the backlog can be sent."""
        if self._backlog and not self.is_ready and self._sendable(self._backlog[0]) > 0:
            self.is_ready = True
            self._endpoint.ready.append(self)
            if not self._endpoint.is_output_announced:
                self._endpoint.announce_output()

    def _sendable(self, item: tuple[int, bytes, int]) -> int:
        """Bytes + 1 of the item that credit allows now; 0 when it has to wait."""
        kind, data, offset = item
        if kind == Kind.CLOSE:
            return 1
        rest = min(len(data) - offset, SEGMENT_BYTES_MAX)
        room = self.send_credit - ITEM_COST
        if rest <= room:
            return rest + 1
        from_middle = kind in (Kind.BINARY, Kind.TEXT) and len(data) - offset > SEGMENT_BYTES_MIN
        if from_middle and room >= SEGMENT_BYTES_MIN:
            return room + 1
        return 0

    def take_turn(self, quantum: int) -> bool:
        """Moves backlog into the batch, about `quantum` bytes. Returns whether it can go on in a further turn."""
        endpoint = self._endpoint
        backlog = self._backlog
        if not backlog:  # discarded by a close while it stood in the ring
            self.is_ready = False
            return False
        while backlog and quantum > 0 and len(endpoint.batch_kind) < BATCH_ITEMS_MAX:
            item = backlog[0]
            sendable = self._sendable(item)
            if sendable == 0:
                self.is_ready = False
                return False
            kind, data, offset = item
            size = sendable - 1
            if kind == Kind.CLOSE:
                endpoint.put(self.id, kind, data)
                backlog.popleft()
                continue
            end = offset + size
            is_whole = kind in (Kind.BINARY, Kind.TEXT)
            if not is_whole or (offset == 0 and end == len(data)):
                part_kind, part = kind, data
                backlog.popleft()
            elif end == len(data):
                part_kind, part = int(Kind.LAST), data[offset:]
                backlog.popleft()
            else:
                first = Kind.TEXT_FIRST if kind == Kind.TEXT else Kind.BINARY_FIRST
                part_kind, part = int(first if offset == 0 else Kind.MIDDLE), data[offset:end]
                backlog[0] = (kind, data, end)
            cost = size + ITEM_COST
            self.send_credit -= cost
            quantum -= cost
            endpoint.batch_bytes += size
            endpoint.put(self.id, part_kind, part)
        if backlog:
            self.is_ready = self._sendable(backlog[0]) > 0
            return self.is_ready
        self.is_ready = False
        self._backlog = None
        return False

    def consumed(self, data_bytes: int, segments: int = 1) -> None:
        """Returns the credit of received data that has gone on its way: to the model, or into the client's socket."""
        owed = self._owed + data_bytes + segments * ITEM_COST
        if owed < CREDIT_RETURN_BYTES or self.is_remote_closed:
            self._owed = owed
            return
        self._owed = 0
        self.receive_window += owed
        self._endpoint.return_credit(self.id, owed)

    def close(self, code: EndCode, close_code: int, reason: str = "", *, discard: bool = False) -> None:
        """Ends this side, behind everything that was sent; `discard` drops what is still queued. Idempotent."""
        if self.is_local_closed:
            return
        payload = self._endpoint.close_payload(code, close_code, reason)
        if discard:
            self._backlog = None
        self.is_local_closed = True
        self.is_send_closed = True
        if self._backlog:
            self._queue(Kind.CLOSE, payload)
            return
        self._endpoint.put(self.id, Kind.CLOSE, payload)
        if self.is_remote_closed:
            self._endpoint.forget(self)

    def peer_closed(self) -> None:
        """The peer has closed: nobody waits for what is still queued here, except for a close."""
        self.is_remote_closed = True
        self.is_send_closed = True
        if self._backlog:
            kind, data, _ = self._backlog[-1]
            self._backlog = None
            if kind == Kind.CLOSE:
                self._endpoint.put(self.id, kind, data)

    def drop(self) -> None:
        """Ends both sides at once, when the stream is over or the trunk is lost. Lets go of the sink."""
        self._backlog = None
        self.sink = NO_SINK
        self.is_local_closed = self.is_remote_closed = self.is_send_closed = True


class _NoSink:
    """Stands in before an owner has set its own sink."""

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        return None

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        return None

    def on_segment(self, kind: int, data: bytes) -> None:
        return None

    def on_close(self, closing: Closing) -> None:
        return None

    def on_writable(self) -> None:
        return None


NO_SINK: StreamSink = _NoSink()
