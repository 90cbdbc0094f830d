"""Two endpoints of a trunk with a wire in memory between them, and sinks that record and check what they are told.

Nothing moves by itself: a test says when a batch is taken and when it arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Batch, Kind, decode
from penstock.trunk.endpoint import Endpoint, Role, TrunkFault
from penstock.trunk.limits import ITEM_COST, WINDOW_BYTES
from penstock.trunk.stream import Closing, TrunkStream

MESSAGES = (trunk_pb2.ConnectRequest, trunk_pb2.ConnectResponse)


def batch_cost(batch: Batch, stream_id: int) -> int:
    """Credit that the data of a stream in a batch has used."""
    return sum(
        len(data) + ITEM_COST
        for data, stream, kind in zip(batch.data, batch.stream, batch.kind, strict=True)
        if stream == stream_id and kind <= Kind.LAST
    )


class RecordingSink:
    """Puts messages together again, and fails the test when it is told something out of order."""

    def __init__(self, *, consumes: bool = False) -> None:
        self.stream: TrunkStream | None = None
        self.consumes = consumes
        """Whether every segment is returned as consumed at once."""
        self.segments: list[tuple[int, int]] = []
        """Kind and length of everything that came."""
        self.messages: list[tuple[int, bytes]] = []
        """Kind (BINARY or TEXT) and data of every message that is whole."""
        self.accepts = 0
        self.rejects: list[trunk_pb2.RejectStream] = []
        self.closings: list[Closing] = []
        self.writable = 0
        self.held: deque[int] = deque()
        """Lengths of the segments that are not consumed yet."""
        self.is_open = False
        """Data may come: the stream was accepted, and its peer has not closed."""
        self.on_told: Callable[[], object] | None = None
        """Called at the end of `on_close`, as an owner that acts at once would."""
        self._parts: list[bytes] = []
        self._parts_kind = 0

    def attach(self, stream: TrunkStream) -> None:
        """Becomes the sink of `stream`."""
        self.stream = stream
        stream.sink = self

    @property
    def trunk_stream(self) -> TrunkStream:
        """The stream that it is attached to."""
        assert self.stream is not None
        return self.stream

    @property
    def is_told_of_end(self) -> bool:
        """Whether it was told that the stream is closed by the peer, refused or lost."""
        return bool(self.closings or self.rejects)

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        assert self.accepts == 0 and not self.is_told_of_end
        self.accepts += 1
        self.is_open = True

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        assert self.accepts == 0 and not self.is_told_of_end
        self.rejects.append(reject)

    def on_segment(self, kind: int, data: bytes) -> None:
        assert self.is_open, "data before the accept or after the close"
        self.segments.append((kind, len(data)))
        if kind in (Kind.BINARY, Kind.TEXT):
            assert not self._parts
            self.messages.append((kind, data))
        else:
            if kind in (Kind.BINARY_FIRST, Kind.TEXT_FIRST):
                assert not self._parts
                self._parts_kind = Kind.BINARY if kind == Kind.BINARY_FIRST else Kind.TEXT
            else:
                assert self._parts
            self._parts.append(data)
            if kind == Kind.LAST:
                self.messages.append((self._parts_kind, b"".join(self._parts)))
                self._parts = []
        if self.consumes:
            self.trunk_stream.consumed(len(data))
        else:
            self.held.append(len(data))

    def on_close(self, closing: Closing) -> None:
        assert not self.is_told_of_end
        self.closings.append(closing)
        self.is_open = False
        if self.on_told is not None:
            self.on_told()

    def on_writable(self) -> None:
        assert not self.trunk_stream.is_blocked
        self.writable += 1

    def consume(self, segments: int | None = None) -> None:
        """Returns the credit of the oldest segments, or of all."""
        for _ in range(len(self.held) if segments is None else min(segments, len(self.held))):
            self.trunk_stream.consumed(self.held.popleft())


class TrunkPair:
    """An edge's endpoint and a runner's, with the batches that are on their way.

    Args:
        accepts: whether the runner accepts every stream at once.
        consumes: whether sinks return credit at once.
    """

    def __init__(self, *, accepts: bool = True, consumes: bool = True, window_bytes: int = WINDOW_BYTES) -> None:
        self._accepts = accepts
        self._consumes = consumes
        self.window_bytes = window_bytes
        self.edge_sinks: dict[int, RecordingSink] = {}
        self.runner_sinks: dict[int, RecordingSink] = {}
        self.to_runner: deque[bytes] = deque()
        self.to_edge: deque[bytes] = deque()
        self.is_announced = {Role.EDGE: False, Role.RUNNER: False}
        self.go_aways: list[str] = []
        self.edge = Endpoint(
            Role.EDGE,
            "edge-1",
            on_output=lambda: self._announce(Role.EDGE),
            on_go_away=self.go_aways.append,
            window_bytes=window_bytes,
        )
        self.runner = Endpoint(
            Role.RUNNER,
            "replica-1",
            on_output=lambda: self._announce(Role.RUNNER),
            on_open=self._open_at_runner,
            window_bytes=window_bytes,
        )

    def _announce(self, role: Role) -> None:
        assert not self.is_announced[role], "output is announced once until everything was taken"
        self.is_announced[role] = True

    def _open_at_runner(self, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        sink = RecordingSink(consumes=self._consumes)
        sink.attach(stream)
        self.runner_sinks[stream.id] = sink
        if self._accepts:
            self.accept(stream.id)

    def accept(self, stream_id: int) -> None:
        """The runner gives the stream a slot."""
        sink = self.runner_sinks[stream_id]
        sink.is_open = not sink.is_told_of_end
        self.runner.accept(sink.trunk_stream, trunk_pb2.AcceptStream())

    def open(self) -> RecordingSink:
        """Opens a stream at the edge; nothing has been sent yet."""
        sink = RecordingSink(consumes=self._consumes)
        sink.attach(self.edge.open(trunk_pb2.OpenStream(stream_id=f"s{self.edge.last_id + 1}")))
        self.edge_sinks[sink.trunk_stream.id] = sink
        return sink

    def connect(self) -> tuple[RecordingSink, RecordingSink]:
        """Opens a stream, and settles. Returns the edge's and the runner's end of it."""
        sink = self.open()
        self.settle()
        return sink, self.runner_sinks[sink.trunk_stream.id]

    def take(self, role: Role) -> bool:
        """Puts a batch of that side on the wire, if it has announced one: a writer sleeps until then."""
        if not self.is_announced[role]:
            return False
        endpoint, wire = (self.edge, self.to_runner) if role is Role.EDGE else (self.runner, self.to_edge)
        payload = endpoint.take_batch()
        if payload is None:
            self.is_announced[role] = False
        else:
            wire.append(payload)
        return payload is not None

    def deliver(self, role: Role) -> TrunkFault | None:
        """Hands the oldest batch on the wire to that side, if there is one."""
        endpoint, wire = (self.edge, self.to_edge) if role is Role.EDGE else (self.runner, self.to_runner)
        return endpoint.receive(wire.popleft()) if wire else None

    def settle(self) -> None:
        """Moves batches until neither side has anything to send.

        Raises:
            AssertionError: a side says that the other broke the protocol.
        """
        is_moving = True
        while is_moving:
            is_moving = False
            for role, peer, wire in (
                (Role.EDGE, Role.RUNNER, self.to_runner),
                (Role.RUNNER, Role.EDGE, self.to_edge),
            ):
                while self.take(role) or wire:
                    is_moving = True
                    assert self.deliver(peer) is None

    def wire(self, sender: Role) -> list[Batch]:
        """Decodes the batches that are on their way from that side."""
        message, wire = (MESSAGES[0], self.to_runner) if sender is Role.EDGE else (MESSAGES[1], self.to_edge)
        return [decode(message, payload) for payload in wire]

    def close_both(self, stream_id: int) -> None:
        """Closes both sides of a stream in the ordinary way."""
        self.edge_sinks[stream_id].trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)
        self.runner_sinks[stream_id].trunk_stream.close(EndCode.COMPLETED, 1000)
