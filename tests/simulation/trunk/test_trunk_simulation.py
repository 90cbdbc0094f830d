"""Two endpoints, a wire in memory, and every order of events that Hypothesis can think of."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.limits import (
    BATCH_BYTES_MAX,
    BATCH_ITEMS_MAX,
    CREDIT_RETURN_BYTES,
    ITEM_COST,
    QUANTUM_BYTES,
    SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN,
    WINDOW_BYTES,
    WINDOW_BYTES_MIN,
)
from penstock_testing.trunk_pair import RecordingSink, TrunkPair, batch_cost

ROLES = st.sampled_from(Role)
STREAMS_MOST = 5
ANY_STREAM = st.integers(0, 1 << 30)
SIZES = st.sampled_from(
    [
        *(0, 1, 100, 4096),
        *(SEGMENT_BYTES_MIN - ITEM_COST, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MIN + 1, QUANTUM_BYTES),
        *(
            SEGMENT_BYTES_MAX - 4096,
            SEGMENT_BYTES_MAX - ITEM_COST,
            SEGMENT_BYTES_MAX,
            SEGMENT_BYTES_MAX + 1,
            WINDOW_BYTES,
            3 * WINDOW_BYTES,
        ),
    ]
)
WINDOWS = st.sampled_from([WINDOW_BYTES_MIN, WINDOW_BYTES_MIN + ITEM_COST + 1, WINDOW_BYTES, 4 * WINDOW_BYTES])
KINDS = st.sampled_from([Kind.BINARY, Kind.TEXT])
WHOLE = {Kind.BINARY: (Kind.BINARY_FIRST, Kind.LAST), Kind.TEXT: (Kind.TEXT_FIRST, Kind.LAST)}


class Direction(NamedTuple):
    sender: Role
    stream_id: int


def other(role: Role) -> Role:
    return Role.RUNNER if role is Role.EDGE else Role.EDGE


class TrunkMachine(RuleBasedStateMachine):
    """Owners that use their endpoints correctly, at any time, with batches that arrive at any time."""

    @initialize(window_bytes=WINDOWS, can_break=st.booleans(), streams=st.integers(0, 3))
    def start(self, window_bytes: int, can_break: bool, streams: int) -> None:
        self.can_break = can_break
        self.window_bytes = window_bytes
        self.counter = 0
        self.restart()
        if streams:
            self.pair.settle()
            for _ in range(streams):
                self.connect()

    def restart(self) -> None:
        self.pair = TrunkPair(accepts=False, consumes=False, window_bytes=self.window_bytes)
        self.sent: defaultdict[Direction, list[tuple[int, bytes]]] = defaultdict(list)
        self.begun: dict[Direction, tuple[int, list[bytes]]] = {}
        self.closed: set[Direction] = set()
        """Sides that have closed before the end of the run."""
        self.discarded: set[Direction] = set()
        self.blocked: dict[Direction, int] = {}
        """Directions in which `send` has said to wait, and how often its sink was told to go on by then."""

    # What owners see

    def endpoint(self, role: Role) -> Endpoint:
        return self.pair.edge if role is Role.EDGE else self.pair.runner

    def sinks(self, role: Role) -> dict[int, RecordingSink]:
        return self.pair.edge_sinks if role is Role.EDGE else self.pair.runner_sinks

    def pick(self, role: Role, index: int) -> RecordingSink | None:
        sinks = list(self.sinks(role).values())
        return sinks[index % len(sinks)] if sinks else None

    def payload(self, size: int) -> bytes:
        """Bytes that differ from those of every other message, as far as there is room."""
        self.counter += 1
        return (self.counter.to_bytes(4, "big") * (size // 4 + 1))[:size]

    def pick_sending(self, role: Role, index: int) -> RecordingSink | None:
        """One of those whose owner may send."""
        sinks = [
            sink
            for sink in self.sinks(role).values()
            if sink.trunk_stream.is_accepted and not sink.trunk_stream.is_local_closed
        ]
        return sinks[index % len(sinks)] if sinks else None

    # Rules

    @rule(role=ROLES)
    def take(self, role: Role) -> None:
        if self.pair.take(role):
            batch = self.pair.wire(role)[-1]
            assert len(batch.kind) <= BATCH_ITEMS_MAX
            assert sum(map(len, batch.data)) <= BATCH_BYTES_MAX + SEGMENT_BYTES_MAX
            assert batch.kind or batch.credit_stream

    @rule(role=ROLES)
    def deliver(self, role: Role) -> None:
        assert self.pair.deliver(role) is None

    @rule()
    def settle(self) -> None:
        self.pair.settle()

    @precondition(lambda self: self.pair.edge.peer_name is not None and len(self.pair.edge.streams) < STREAMS_MOST)
    @rule()
    def open(self) -> None:
        self.pair.open()

    @precondition(lambda self: self.pair.edge.peer_name is not None and len(self.pair.edge.streams) < STREAMS_MOST)
    @rule()
    def connect(self) -> None:
        stream_id = self.pair.open().trunk_stream.id
        self.pair.settle()
        self.pair.accept(stream_id)
        self.pair.settle()

    @rule(index=ANY_STREAM, accepts=st.sampled_from([True, True, True, False]))
    def answer(self, index: int, accepts: bool) -> None:
        waiting = [
            sink
            for sink in self.pair.runner_sinks.values()
            if not sink.trunk_stream.is_accepted and not sink.trunk_stream.is_local_closed
        ]
        if not waiting:
            return
        stream = waiting[index % len(waiting)].trunk_stream
        if accepts:
            self.pair.accept(stream.id)
        else:
            self.pair.runner.reject(stream, trunk_pb2.RejectStream(code=EndCode.REPLICA_FULL))

    @rule(role=ROLES, index=ANY_STREAM, messages=st.lists(st.tuples(KINDS, SIZES), min_size=1, max_size=5))
    def send_messages(self, role: Role, index: int, messages: list[tuple[Kind, int]]) -> None:
        sink = self.pick_sending(role, index)
        if sink is None:
            return
        direction = Direction(role, sink.trunk_stream.id)
        if direction in self.begun:
            self.send_part(direction, Kind.BINARY, b"", ends=True)
        for kind, size in messages:
            data = self.payload(size)
            self.sent[direction].append((kind, data))
            self.send(direction, kind, data)

    @rule(role=ROLES, index=ANY_STREAM, kind=KINDS, size=SIZES, ends=st.booleans())
    def send_segment(self, role: Role, index: int, kind: Kind, size: int, ends: bool) -> None:
        sink = self.pick_sending(role, index)
        if sink is None:
            return
        self.send_part(Direction(role, sink.trunk_stream.id), kind, self.payload(size), ends=ends)

    def send_part(self, direction: Direction, kind: Kind, data: bytes, *, ends: bool) -> None:
        if direction not in self.begun:
            self.begun[direction] = (kind, [data])
            self.send(direction, WHOLE[kind][0], data)
            return
        kind_begun, parts = self.begun[direction]
        parts.append(data)
        if ends:
            del self.begun[direction]
            self.sent[direction].append((kind_begun, b"".join(parts)))
        self.send(direction, Kind.LAST if ends else Kind.MIDDLE, data)

    def send(self, direction: Direction, kind: Kind, data: bytes) -> None:
        sink = self.sinks(direction.sender)[direction.stream_id]
        if not sink.trunk_stream.send(kind, data):
            assert sink.trunk_stream.is_blocked
            self.blocked[direction] = sink.writable

    @rule(role=ROLES, index=ANY_STREAM, segments=st.integers(1, 20))
    def consume(self, role: Role, index: int, segments: int) -> None:
        sink = self.pick(role, index)
        if sink is not None:
            sink.consume(segments)

    @rule(role=ROLES, index=ANY_STREAM, discard=st.booleans())
    def close(self, role: Role, index: int, discard: bool) -> None:
        sink = self.pick(role, index)
        if sink is None:
            return
        stream = sink.trunk_stream
        if role is Role.RUNNER and not stream.is_accepted and not sink.is_told_of_end:
            return  # it has to accept or reject
        self.closed.add(Direction(role, stream.id))
        if discard and (not stream.is_local_closed or stream.is_blocked):
            self.discarded.add(Direction(role, stream.id))
        stream.close(EndCode.COMPLETED, 1000, "done", discard=discard)

    @rule(reason=st.text(max_size=5))
    def go_away(self, reason: str) -> None:
        self.pair.runner.go_away(reason)

    @precondition(lambda self: self.can_break)
    @rule(first=ROLES)
    def break_call(self, first: Role) -> None:
        for role in (first, other(first)):
            endpoint = self.endpoint(role)
            fault = endpoint.lose("call broke")
            assert endpoint.lose("again") is fault
            assert endpoint.receive(b"late") is fault
            assert endpoint.take_batch() is None
            assert not endpoint.streams and not endpoint.ready
            for sink in self.sinks(role).values():
                assert sink.is_told_of_end or sink.trunk_stream.is_remote_closed
                assert sink.trunk_stream.send(Kind.BINARY, b"dropped")
                sink.trunk_stream.close(EndCode.COMPLETED, 1000)
                sink.consume()
            assert endpoint.take_batch() is None
        self.check_prefixes()
        self.restart()

    # What must hold at any time

    @invariant()
    def no_credit_is_lost(self) -> None:
        for sender in Role:
            source, target = self.endpoint(sender), self.endpoint(other(sender))
            data_wire, credit_wire = self.pair.wire(sender), self.pair.wire(other(sender))
            for stream in source.streams.values():
                peer = target.streams.get(stream.id)
                assert stream.send_credit >= 0 and stream.receive_window >= 0
                if peer is None:
                    continue
                in_batch = sum(
                    len(data) + ITEM_COST
                    for data, stream_id, kind in zip(
                        source.batch_data, source.batch_stream, source.batch_kind, strict=True
                    )
                    if stream_id == stream.id and kind <= Kind.LAST
                )
                in_flight = in_batch + sum(batch_cost(batch, stream.id) for batch in data_wire)
                returning = target._credit.get(stream.id, 0) + sum(
                    dict(zip(batch.credit_stream, batch.credit_bytes, strict=True)).get(stream.id, 0)
                    for batch in credit_wire
                )
                held = sum(size + ITEM_COST for size in self.sinks(other(sender))[stream.id].held)
                assert stream.send_credit + in_flight + returning + held + peer._owed == self.window_bytes
                assert peer.receive_window + held + peer._owed == self.window_bytes

    @invariant()
    def output_is_announced(self) -> None:
        for role in Role:
            endpoint = self.endpoint(role)
            if endpoint.batch_kind or endpoint.ready or endpoint._credit:
                assert self.pair.is_announced[role]
            assert len(set(endpoint.ready)) == len(endpoint.ready)
            assert endpoint.batch_bytes == sum(map(len, endpoint.batch_data))

    @invariant()
    def check_prefixes(self) -> None:
        for sender in Role:
            for stream_id, sink in self.sinks(other(sender)).items():
                assert sink.messages == self.sent[Direction(sender, stream_id)][: len(sink.messages)]

    # What must hold in the end

    def drain(self) -> None:
        """Moves everything that credit lets through, with receivers that take it."""
        self.pair.settle()
        sinks = [*self.pair.edge_sinks.values(), *self.pair.runner_sinks.values()]
        while any(sink.held for sink in sinks):
            for sink in sinks:
                sink.consume()
            self.pair.settle()

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        pair = self.pair
        self.drain()
        for sink in pair.runner_sinks.values():
            if not sink.trunk_stream.is_accepted and not sink.trunk_stream.is_local_closed:
                pair.accept(sink.trunk_stream.id)
        for direction in list(self.begun):
            if not self.sinks(direction.sender)[direction.stream_id].trunk_stream.is_local_closed:
                self.send_part(direction, Kind.BINARY, b"end", ends=True)
        self.drain()
        for role in Role:
            for stream in self.endpoint(role).streams.values():
                direction = Direction(role, stream.id)
                if not stream.is_remote_closed and direction not in self.discarded:
                    assert not stream.is_blocked
                    assert self.sinks(role)[stream.id].writable > self.blocked.get(direction, -1)
                if not stream.is_send_closed:
                    assert self.window_bytes - CREDIT_RETURN_BYTES < stream.send_credit <= self.window_bytes
        for role in Role:
            for sink in self.sinks(role).values():
                sink.trunk_stream.close(EndCode.COMPLETED, 1000)
        self.drain()
        self.check_everything_arrived()
        for role in Role:
            endpoint = self.endpoint(role)
            assert not endpoint.streams and not endpoint.ready and not endpoint._credit and not endpoint.batch_kind
            assert endpoint.fault is None
        for stream_id, sink in pair.edge_sinks.items():
            assert len(sink.closings) + len(sink.rejects) == 1
            assert len(pair.runner_sinks[stream_id].closings) == len(sink.closings) or sink.rejects

    def check_everything_arrived(self) -> None:
        for sender in Role:
            for stream_id, receiving in self.sinks(other(sender)).items():
                direction = Direction(sender, stream_id)
                # A side that is told of its peer's close drops what it had queued: nobody would read it.
                if direction not in self.discarded and Direction(other(sender), stream_id) not in self.closed:
                    assert receiving.messages == self.sent[direction]


TestTrunk = TrunkMachine.TestCase
TestTrunk.settings = settings(max_examples=150, stateful_step_count=50)
