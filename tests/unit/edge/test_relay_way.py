"""Two trunks in memory, joined as an edge joins them: the caller's and the callee's."""

from __future__ import annotations

import os

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.endpoint import Role
from penstock.trunk.limits import ITEM_COST, SEGMENT_BYTES_MAX, WINDOW_BYTES
from penstock.trunk.stream import Closing
from penstock_edge.relay_way import Way
from penstock_testing.trunk_pair import TrunkPair

GONE = Closing(EndCode.CLIENT_GONE, 1006, "")


class Relay:
    """Owner of both ways; the callee's stream is open already."""

    def __init__(self, *, consumes: bool = True) -> None:
        self.outer = TrunkPair()
        self.inner = TrunkPair(consumes=consumes)
        for pair in (self.outer, self.inner):
            pair.settle()
        self.caller, outer = self.outer.connect()
        inner, self.callee = self.inner.connect()
        self.way_in = Way(self, outer.trunk_stream, inner.trunk_stream)
        self.way_out = Way(self, inner.trunk_stream, outer.trunk_stream)
        self.way_in.back, self.way_out.back = self.way_out, self.way_in
        outer.trunk_stream.sink, inner.trunk_stream.sink = self.way_in, self.way_out
        self.closed: list[tuple[Way, Closing]] = []
        self.is_open = True

    def may_pass(self, way: Way, data: bytes) -> bool:
        return self.is_open

    def source_closed(self, way: Way, closing: Closing) -> None:
        self.closed.append((way, closing))

    def settle(self) -> None:
        pairs = (self.outer, self.inner)
        while any(pair.take(role) or pair.to_edge or pair.to_runner for pair in pairs for role in Role):
            for pair in pairs:
                pair.settle()

    def taken(self) -> int:
        """Bytes that the callee was handed, with what they cost."""
        return sum(size + ITEM_COST for _, size in self.callee.segments)


def test_messages_pass_both_ways_with_their_kind_and_boundaries() -> None:
    relay = Relay()
    sent = [(int(Kind.TEXT), b"a"), (int(Kind.BINARY), b""), (int(Kind.BINARY), os.urandom(3 * SEGMENT_BYTES_MAX))]
    for kind, data in sent:
        relay.caller.trunk_stream.send(kind, data)
        relay.settle()
        relay.callee.trunk_stream.send(kind, data[::-1])
        relay.settle()

    assert relay.callee.messages == sent
    assert relay.caller.messages == [(kind, data[::-1]) for kind, data in sent]
    assert (relay.way_in.messages, relay.way_in.bytes) == (3, 1 + 3 * SEGMENT_BYTES_MAX)
    assert (relay.way_out.messages, relay.way_out.bytes) == (3, 1 + 3 * SEGMENT_BYTES_MAX)


def test_the_size_of_a_message_is_known_while_it_passes() -> None:
    relay = Relay()
    relay.caller.trunk_stream.send(Kind.BINARY_FIRST, b"x" * 10)
    relay.settle()
    assert relay.way_in.message_bytes == 10
    relay.caller.trunk_stream.send(Kind.LAST, b"x" * 5)
    relay.settle()
    assert (relay.way_in.message_bytes, relay.way_in.messages) == (15, 1)
    relay.caller.trunk_stream.send(Kind.BINARY, b"x")
    relay.settle()
    assert relay.way_in.message_bytes == 1


def test_a_callee_that_takes_nothing_stops_the_caller_and_no_more_than_two_windows_are_held() -> None:
    relay = Relay(consumes=False)
    message = os.urandom(4 * WINDOW_BYTES)

    assert not relay.caller.trunk_stream.send(Kind.BINARY, message)
    relay.settle()

    assert relay.taken() <= WINDOW_BYTES
    assert relay.way_in.bytes <= 2 * WINDOW_BYTES
    assert relay.caller.trunk_stream.is_blocked
    while not relay.callee.messages:
        assert relay.callee.held, "it goes on as far as the callee takes what has come"
        relay.callee.consume()
        relay.settle()
    assert relay.callee.messages == [(int(Kind.BINARY), message)]
    assert not relay.caller.trunk_stream.is_blocked


def test_segments_keep_their_order_while_some_of_them_wait() -> None:
    relay = Relay(consumes=False)
    messages = [bytes([number]) * 20_000 for number in range(80)]
    for message in messages:
        relay.caller.trunk_stream.send(Kind.BINARY, message)
        relay.settle()
    while len(relay.callee.messages) < len(messages):
        assert relay.callee.held
        relay.callee.consume(3)
        relay.settle()

    assert [data for _, data in relay.callee.messages] == messages


def test_a_close_stands_behind_what_has_come() -> None:
    relay = Relay(consumes=False)
    messages = [bytes([number]) * 20_000 for number in range(80)]
    for message in messages:
        relay.caller.trunk_stream.send(Kind.BINARY, message)
    relay.settle()
    came = relay.way_in.messages
    assert len(relay.callee.messages) < came < len(messages)

    relay.way_in.finish(Closing(EndCode.CLIENT_CLOSED, 4000, "enough"))
    relay.settle()
    while not relay.callee.closings:
        assert relay.callee.held
        relay.callee.consume()
        relay.settle()

    assert [data for _, data in relay.callee.messages] == messages[:came]
    assert relay.callee.closings == [Closing(EndCode.CLIENT_CLOSED, 4000, "enough")]


def test_a_close_that_discards_overtakes_what_waits() -> None:
    relay = Relay(consumes=False)
    relay.caller.trunk_stream.send(Kind.BINARY, bytes(4 * WINDOW_BYTES))
    relay.settle()

    relay.way_in.finish(GONE, discard=True)
    relay.settle()

    assert relay.callee.closings == [GONE]


def test_the_owner_hears_of_a_close_and_may_stop_what_passes() -> None:
    relay = Relay()
    relay.is_open = False
    relay.caller.trunk_stream.send(Kind.BINARY, b"dropped")
    relay.callee.trunk_stream.close(EndCode.COMPLETED, 1000)
    relay.settle()

    assert relay.callee.messages == []
    assert relay.closed == [(relay.way_out, Closing(EndCode.COMPLETED, 1000, ""))]
