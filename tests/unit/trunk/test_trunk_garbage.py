"""What a peer that breaks the protocol, by a defect or on purpose, can do: end the trunk, with a text that says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.limits import (
    BATCH_WIRE_BYTES_MAX,
    ITEM_COST,
    SEGMENT_BYTES_MAX,
    STREAMS_MAX,
    WINDOW_BYTES,
    WINDOW_BYTES_MAX,
    WINDOW_BYTES_MIN,
)
from penstock_testing.trunk_pair import MESSAGES, TrunkPair

HELLO = trunk_pb2.Hello(protocol_version=1, peer_id="peer", window_bytes=WINDOW_BYTES).SerializeToString()
OPEN = trunk_pb2.OpenStream(stream_id="s").SerializeToString()
CLOSE = trunk_pb2.CloseStream(code="COMPLETED", close_code=1000).SerializeToString()
BROKEN = b"\x0a\xff"

OPENED, OPENING, LEFT, OVER, UNKNOWN = 1, 2, 3, 4, 99
"""Ids of streams in the states that `Victim` brings about."""


class Item(NamedTuple):
    kind: int
    stream: int
    data: bytes = b""


def batch(role: Role, items: Sequence[Item] = (), credit: Sequence[tuple[int, int]] = ()) -> bytes:
    """A batch for an endpoint of that role."""
    message = MESSAGES[0] if role is Role.RUNNER else MESSAGES[1]
    return message(
        data=[item.data for item in items],
        stream=[item.stream for item in items],
        kind=bytes(item.kind for item in items),
        credit_stream=[stream for stream, _ in credit],
        credit_bytes=[amount for _, amount in credit],
    ).SerializeToString()


class Victim:
    """One side of a trunk with streams in every state. Its peer is lawful up to then."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.pair = pair = TrunkPair(accepts=False, consumes=False)
        self.endpoint = pair.edge if role is Role.EDGE else pair.runner
        self.sinks = pair.edge_sinks if role is Role.EDGE else pair.runner_sinks
        pair.settle()
        for _ in (OPENED, OPENING, LEFT, OVER):
            pair.open()
        pair.settle()
        for stream_id in (OPENED, LEFT, OVER):
            pair.accept(stream_id)
        pair.settle()
        pair.close_both(OVER)
        self.sinks[LEFT].trunk_stream.close(EndCode.COMPLETED, 1000)
        pair.settle()
        assert sorted(self.endpoint.streams) == [OPENED, OPENING, LEFT]

    def check_over(self) -> None:
        """The trunk is over, and everybody knows."""
        endpoint, fault = self.endpoint, self.endpoint.fault
        assert fault is not None and fault.detail
        assert not endpoint.streams and not endpoint.ready
        for sink in self.sinks.values():
            assert len(sink.closings) + len(sink.rejects) == 1
        assert endpoint.receive(b"") is fault
        assert endpoint.receive(batch(self.role, [Item(Kind.BINARY, OPENED)])) is fault
        assert endpoint.take_batch() is None


def in_order(*kinds: int) -> list[Item]:
    return [Item(kind, OPENED) for kind in kinds]


FULL_WINDOW = [Item(Kind.BINARY, OPENED, bytes(SEGMENT_BYTES_MAX - ITEM_COST))] * 2
OUT_OF_PLACE = "out of place"
NOT_OPEN = "data on a stream that is not open"
OUT_OF_ORDER = "segment out of order"

BOTH_ROLES = {
    "data on an unknown stream": ([Item(Kind.BINARY, UNKNOWN)], NOT_OPEN),
    "data on stream 0": ([Item(Kind.BINARY, 0)], NOT_OPEN),
    "data before the accept": ([Item(Kind.BINARY, OPENING)], NOT_OPEN),
    "data on a stream that is over": ([Item(Kind.BINARY, OVER)], NOT_OPEN),
    "data after a close": ([Item(Kind.CLOSE, OPENED, CLOSE), Item(Kind.BINARY, OPENED)], NOT_OPEN),
    "more data than credit": ([*FULL_WINDOW, Item(Kind.BINARY, OPENED)], "more data than credit"),
    "a segment that is too long": ([Item(Kind.BINARY, OPENED, bytes(SEGMENT_BYTES_MAX + 1))], "segment is too long"),
    "kind 0": ([Item(0, OPENED)], "item kind 0"),
    "kind 0 inside of a message": (in_order(Kind.TEXT_FIRST, 0), OUT_OF_ORDER),
    "a middle without a first": (in_order(Kind.MIDDLE), OUT_OF_ORDER),
    "a last without a first": (in_order(Kind.LAST), OUT_OF_ORDER),
    "a last after a last": (in_order(Kind.BINARY_FIRST, Kind.LAST, Kind.LAST), OUT_OF_ORDER),
    "a first inside of a message": (in_order(Kind.BINARY_FIRST, Kind.TEXT_FIRST), OUT_OF_ORDER),
    "a message inside of a message": (in_order(Kind.BINARY_FIRST, Kind.BINARY), OUT_OF_ORDER),
    "a kind between data and control": ([Item(Kind.LAST + 1, OPENED)], OUT_OF_PLACE),
    "a kind that no version knows": ([Item(255, OPENED)], OUT_OF_PLACE),
    "a second hello": ([Item(Kind.HELLO, 0, HELLO)], OUT_OF_PLACE),
    "a close of an unknown stream": ([Item(Kind.CLOSE, UNKNOWN, CLOSE)], "close of a stream that is not open"),
    "a close of stream 0": ([Item(Kind.CLOSE, 0, CLOSE)], "close of a stream that is not open"),
    "a second close": ([Item(Kind.CLOSE, OPENED, CLOSE)] * 2, "stream is closed twice"),
    "a close that is no protobuf": ([Item(Kind.CLOSE, OPENED, BROKEN)], "not valid protobuf"),
    "a close whose reason is not UTF-8": ([Item(Kind.CLOSE, OPENED, b"\x1a\x01\xff")], "not valid protobuf"),
}

OF_A_RUNNER = {
    "an open": ([Item(Kind.OPEN, 100, OPEN)], OUT_OF_PLACE),
    "a second accept": ([Item(Kind.ACCEPT, OPENED)], "not opening"),
    "an accept of an unknown stream": ([Item(Kind.ACCEPT, UNKNOWN)], "not opening"),
    "a reject after the accept": ([Item(Kind.REJECT, OPENED)], "not opening"),
    "an accept after the reject": ([Item(Kind.REJECT, OPENING), Item(Kind.ACCEPT, OPENING)], "not opening"),
    "an accept that is no protobuf": ([Item(Kind.ACCEPT, OPENING, BROKEN)], "not valid protobuf"),
    "a reject that is no protobuf": ([Item(Kind.REJECT, OPENING, BROKEN)], "not valid protobuf"),
    "a close before the accept": ([Item(Kind.CLOSE, OPENING, CLOSE)], "never accepted"),
    "a close of a stream that is over": ([Item(Kind.CLOSE, OVER, CLOSE)], "not open"),
    "a go-away of one stream": ([Item(Kind.GO_AWAY, OPENED)], OUT_OF_PLACE),
    "a go-away that is no protobuf": ([Item(Kind.GO_AWAY, 0, BROKEN)], "not valid protobuf"),
}

OF_AN_EDGE = {
    "an accept": ([Item(Kind.ACCEPT, OPENING)], OUT_OF_PLACE),
    "a reject": ([Item(Kind.REJECT, OPENING)], OUT_OF_PLACE),
    "a go-away": ([Item(Kind.GO_AWAY, 0)], OUT_OF_PLACE),
    "an id in use": ([Item(Kind.OPEN, OPENED, OPEN)], "used before"),
    "an id used before": ([Item(Kind.OPEN, OVER, OPEN)], "used before"),
    "an id that is lower": ([Item(Kind.OPEN, 200, OPEN), Item(Kind.OPEN, 150, OPEN)], "used before"),
    "an open of stream 0": ([Item(Kind.OPEN, 0, OPEN)], "used before"),
    "an open that is no protobuf": ([Item(Kind.OPEN, 100, BROKEN)], "not valid protobuf"),
}


@pytest.mark.parametrize(
    ("role", "items", "text"),
    [
        *(pytest.param(role, *case, id=f"{role.value}: {name}") for role in Role for name, case in BOTH_ROLES.items()),
        *(pytest.param(Role.EDGE, *case, id=f"edge: {name}") for name, case in OF_A_RUNNER.items()),
        *(pytest.param(Role.RUNNER, *case, id=f"runner: {name}") for name, case in OF_AN_EDGE.items()),
    ],
)
def test_a_batch_that_breaks_the_protocol_ends_the_trunk(role: Role, items: list[Item], text: str) -> None:
    victim = Victim(role)

    fault = victim.endpoint.receive(batch(role, items))

    assert fault is not None and text in fault.detail
    victim.check_over()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("credit", "text"),
    [
        ([(OPENED, 0)], "credit outside the window"),
        ([(OPENED, 1)], "credit outside the window"),
        ([(OPENED, 2**32 - 1)], "credit outside the window"),
        ([(OPENING, 1)], "credit outside the window"),
        ([(UNKNOWN, 1)], "never open"),
        ([(0, 1)], "never open"),
        ([(OVER, 1), (2**32 - 1, 1)], "never open"),
    ],
)
def test_credit_that_was_not_owed_ends_the_trunk(role: Role, credit: list[tuple[int, int]], text: str) -> None:
    victim = Victim(role)

    fault = victim.endpoint.receive(batch(role, credit=credit))

    assert fault is not None and text in fault.detail
    victim.check_over()


@pytest.mark.parametrize("role", Role)
def test_credit_for_a_stream_that_is_over_is_ignored(role: Role) -> None:
    victim = Victim(role)

    assert victim.endpoint.receive(batch(role, credit=[(OVER, 2**32 - 1)])) is None


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("payload", "text"),
    [(b"\xff", "not valid protobuf"), (bytes(BATCH_WIRE_BYTES_MAX + 1), "exceeds"), (b"\x1a\x01\x01", "differ")],
)
def test_bytes_that_are_no_batch_end_the_trunk(role: Role, payload: bytes, text: str) -> None:
    victim = Victim(role)

    fault = victim.endpoint.receive(payload)

    assert fault is not None and text in fault.detail
    victim.check_over()


def hello(**changes: object) -> bytes:
    message = trunk_pb2.Hello.FromString(HELLO)
    for name, value in changes.items():
        setattr(message, name, value)
    return message.SerializeToString()


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([Item(Kind.OPEN, 1, OPEN)], "first item is not a Hello"),
        ([Item(Kind.BINARY, 1)], "first item is not a Hello"),
        ([Item(Kind.GO_AWAY, 0), Item(Kind.HELLO, 0, HELLO)], "first item is not a Hello"),
        ([Item(Kind.HELLO, 1, HELLO)], "first item is not a Hello"),
        ([Item(Kind.HELLO, 0, HELLO)] * 2, OUT_OF_PLACE),
        ([Item(Kind.HELLO, 0, BROKEN)], "not valid protobuf"),
        ([Item(Kind.HELLO, 0)], "peer speaks version 0, this side 1"),
        ([Item(Kind.HELLO, 0, hello(protocol_version=2))], "peer speaks version 2, this side 1"),
        ([Item(Kind.HELLO, 0, hello(window_bytes=0))], "window of 0 bytes is out of range"),
        ([Item(Kind.HELLO, 0, hello(window_bytes=WINDOW_BYTES_MIN - 1))], "out of range"),
        ([Item(Kind.HELLO, 0, hello(window_bytes=WINDOW_BYTES_MAX + 1))], "out of range"),
        ([Item(Kind.HELLO, 0, hello(window_bytes=2**32 - 1))], "out of range"),
    ],
)
def test_a_bad_greeting_ends_the_trunk(role: Role, items: list[Item], text: str) -> None:
    endpoint = Endpoint(role, "me", on_output=lambda: None)

    fault = endpoint.receive(batch(role, items))

    assert fault is not None and text in fault.detail


@pytest.mark.parametrize("window_bytes", [WINDOW_BYTES_MIN, WINDOW_BYTES_MAX])
def test_any_window_within_the_range_is_taken(window_bytes: int) -> None:
    endpoint = Endpoint(Role.EDGE, "me", on_output=lambda: None)

    assert endpoint.receive(batch(Role.EDGE, [Item(Kind.HELLO, 0, hello(window_bytes=window_bytes))])) is None


def test_credit_before_the_greeting_ends_the_trunk() -> None:
    endpoint = Endpoint(Role.RUNNER, "me", on_output=lambda: None)

    assert endpoint.receive(batch(Role.RUNNER, credit=[(1, 1)])) is not None


def test_an_edge_that_opens_too_many_streams_is_stopped() -> None:
    runner = Endpoint(Role.RUNNER, "me", on_output=lambda: None)
    assert runner.receive(batch(Role.RUNNER, [Item(Kind.HELLO, 0, HELLO)])) is None
    for start in range(1, STREAMS_MAX, 512):
        items = [Item(Kind.OPEN, stream_id, OPEN) for stream_id in range(start, start + 512)]
        assert runner.receive(batch(Role.RUNNER, items)) is None

    fault = runner.receive(batch(Role.RUNNER, [Item(Kind.OPEN, STREAMS_MAX + 1, OPEN)]))

    assert fault is not None and "too many streams" in fault.detail


def test_a_fault_tells_no_payload() -> None:
    victim = Victim(Role.RUNNER)
    secret = b"my secret"

    fault = victim.endpoint.receive(batch(Role.RUNNER, [Item(Kind.MIDDLE, OPENED, secret), Item(99, 1, secret)]))

    assert fault is not None and "secret" not in fault.detail


def test_a_close_from_a_newer_peer_is_understood_as_far_as_possible() -> None:
    victim = Victim(Role.EDGE)
    close = trunk_pb2.CloseStream(code="INVENTED_LATER", reason="ü" * 100).SerializeToString()

    assert victim.endpoint.receive(batch(Role.EDGE, [Item(Kind.CLOSE, OPENED, close)])) is None

    assert victim.sinks[OPENED].closings == [(EndCode.INTERNAL, 1000, "ü" * 61)]


PAYLOADS = st.one_of(
    st.sampled_from([b"", HELLO, OPEN, CLOSE, BROKEN, bytes(SEGMENT_BYTES_MAX), bytes(SEGMENT_BYTES_MAX + 1)]),
    st.binary(max_size=40),
)
STREAM_IDS = st.one_of(st.sampled_from([OPENED, OPENING, LEFT, OVER]), st.integers(0, 8), st.integers(0, 2**32 - 1))
ITEMS = st.builds(Item, st.one_of(st.sampled_from(Kind), st.integers(0, 255)), STREAM_IDS, PAYLOADS)
CREDIT = st.tuples(STREAM_IDS, st.one_of(st.integers(0, 100), st.integers(0, 2**32 - 1)))
LAWFUL = {
    role: batch(
        role, [Item(Kind.TEXT, OPENED, b"a"), Item(Kind.BINARY, OPENED, b"bc"), Item(Kind.CLOSE, OPENED, CLOSE)]
    )
    for role in Role
}


@st.composite
def mutated(draw: st.DrawFn, payload: bytes) -> bytes:
    """A batch with some bytes replaced, cut off, or repeated."""
    mutant = bytearray(payload)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(mutant)))
        end = draw(st.integers(start, min(len(mutant), start + 4)))
        mutant[start:end] = draw(st.binary(max_size=4))
    return bytes(mutant)


def hostile(role: Role) -> st.SearchStrategy[bytes]:
    structured = st.builds(batch, st.just(role), st.lists(ITEMS, max_size=6), st.lists(CREDIT, max_size=1))
    return st.one_of(st.binary(max_size=100), mutated(LAWFUL[role]), structured)


@pytest.mark.parametrize("role", Role)
@settings(max_examples=300)
@given(data=st.data())
def test_whatever_comes_no_exception_leaves_the_endpoint(role: Role, data: st.DataObject) -> None:
    victim = Victim(role)
    for payload in data.draw(st.lists(hostile(role), min_size=1, max_size=4)):
        fault = victim.endpoint.receive(payload)
        if fault is not None:
            victim.check_over()
            return
    for stream in victim.endpoint.streams.values():
        assert stream.send_credit >= 0 and stream.receive_window >= 0
    victim.endpoint.lose("end of the test")
    for sink in victim.sinks.values():
        assert len(sink.closings) + len(sink.rejects) == 1


@pytest.mark.parametrize("role", Role)
@given(payload=st.one_of(st.binary(max_size=60), mutated(batch(Role.EDGE, [Item(Kind.HELLO, 0, HELLO)]))))
def test_whatever_comes_first_no_exception_leaves_the_endpoint(role: Role, payload: bytes) -> None:
    endpoint = Endpoint(role, "me", on_output=lambda: None)

    fault = endpoint.receive(payload)

    assert endpoint.fault is fault
    if fault is not None:
        assert endpoint.receive(payload) is fault
