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


_CLOSE = int(Kind.CLOSE)

_CUT = {
    int(whole): (int(front), int(rest))
    for whole, front, rest in (
        (Kind.BINARY, Kind.BINARY_FIRST, Kind.LAST),
        (Kind.TEXT, Kind.TEXT_FIRST, Kind.LAST),
        (Kind.BINARY_FIRST, Kind.BINARY_FIRST, Kind.MIDDLE),
        (Kind.TEXT_FIRST, Kind.TEXT_FIRST, Kind.MIDDLE),
        (Kind.MIDDLE, Kind.MIDDLE, Kind.MIDDLE),
        (Kind.LAST, Kind.MIDDLE, Kind.LAST),
    )
}
"""Kinds of the two parts into which an item is cut."""


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
        """Items that wait for credit or for their turn: (kind of what is not sent yet, data, offset of it)."""
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
        """Sends a whole message (BINARY or TEXT) or a segment of one, of any length; it is cut where it has to be.

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
        if self._backlog and not self.is_ready and self._sendable(self._backlog[0]) >= 0:
            self.is_ready = True
            self._endpoint.ready.append(self)
            if not self._endpoint.is_output_announced:
                self._endpoint.announce_output()

    def _sendable(self, item: tuple[int, bytes, int], bytes_max: int = SEGMENT_BYTES_MAX) -> int:
        """Bytes of the item, at most `bytes_max`, that can be sent now; -1 when it has to wait for credit."""
        kind, data, offset = item
        size = min(len(data) - offset, bytes_max)
        room = self.send_credit - ITEM_COST
        if size <= room or kind == _CLOSE:
            return size
        return room if room >= SEGMENT_BYTES_MIN else -1

    def take_turn(self, quantum: int) -> bool:
        """Moves backlog into the batch, about `quantum` bytes (at most those of a segment).

        Returns whether it can go on in a further turn.
        """
        endpoint = self._endpoint
        backlog = self._backlog
        if not backlog:  # discarded by a close while it stood in the ring
            self.is_ready = False
            return False
        while (
            backlog
            and quantum > 0
            and endpoint.batch_bytes < BATCH_BYTES_MAX
            and len(endpoint.batch_kind) < BATCH_ITEMS_MAX
        ):
            kind, data, offset = item = backlog[0]
            if kind == _CLOSE:
                backlog.popleft()
                endpoint.put(self.id, kind, data)
                continue
            size = self._sendable(item, max(quantum, SEGMENT_BYTES_MIN))
            if size < 0:
                break
            end = offset + size
            if end == len(data):
                backlog.popleft()
            else:
                kind, rest = _CUT[kind]
                backlog[0] = (rest, data, end)
            cost = size + ITEM_COST
            self.send_credit -= cost
            quantum -= cost
            endpoint.put(self.id, kind, data[offset:end])
        if backlog:
            self.is_ready = self._sendable(backlog[0]) >= 0
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
        """Ends this side, behind everything that was sent; `discard` drops what is still queued.

        Only the first call decides on code and reason; a later one may still discard.
        """
        if self.is_local_closed:
            if discard:
                self._discard_all_but_close()
            return
        payload = self._endpoint.close_payload(code, close_code, reason)
        if discard:
            self._backlog = None
        self.is_local_closed = True
        self.is_send_closed = True
        if self._backlog:
            self._queue(_CLOSE, payload)
            return
        self._endpoint.put(self.id, _CLOSE, payload)
        if self.is_remote_closed:
            self._endpoint.forget(self)

    def peer_closed(self) -> None:
        """The peer has closed: nobody waits for what is still queued here, except for a close."""
        self.is_remote_closed = True
        self.is_send_closed = True
        self._discard_all_but_close()

    def _discard_all_but_close(self) -> None:
        if self._backlog:
            kind, data, _ = self._backlog[-1]
            self._backlog = None
            if kind == _CLOSE:
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
