from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol, State

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import SEGMENT_BYTES_MAX
from penstock_edge.frames import FrameReader, frame_header

MASK = b"\x37\xfa\x21\x3d"
LIMIT = 100 * 1024 * 1024


class Heard:
    """Notes what a reader tells, and checks that nothing comes after a fault."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.items: list[tuple[int, bytes]] = []
        self.controls: list[bytes] = []
        self.bad: tuple[EndCode, str] | None = None
        self.reader = FrameReader(self, limit)

    def on_data(self, kind: int, data: bytes) -> None:
        assert self.bad is None
        assert type(data) is bytes
        assert len(data) <= SEGMENT_BYTES_MAX
        self.items.append((kind, data))

    def on_control_frame(self, data: bytes) -> None:
        assert self.bad is None
        self.controls.append(data)

    def on_control_event(self, frame: Frame) -> None:
        raise AssertionError("only a compressed connection has these")

    def on_control_end(self) -> None:
        raise AssertionError("only a compressed connection has these")

    def on_bad_data(self, code: EndCode, detail: str) -> None:
        assert self.bad is None
        self.bad = (code, detail)

    def feed(self, *chunks: bytes) -> Heard:
        for chunk in chunks:
            self.reader.feed(chunk)
        return self

    def messages(self) -> list[tuple[bool, bytes]]:
        """Whole messages: (is text, data)."""
        whole: list[tuple[bool, bytes]] = []
        parts: list[bytes] | None = None
        is_text = False
        for kind, data in self.items:
            if kind in (Kind.BINARY, Kind.TEXT):
                assert parts is None
                whole.append((kind == Kind.TEXT, data))
                continue
            if kind in (Kind.BINARY_FIRST, Kind.TEXT_FIRST):
                assert parts is None
                parts, is_text = [], kind == Kind.TEXT_FIRST
            assert parts is not None
            parts.append(data)
            if kind == Kind.LAST:
                whole.append((is_text, b"".join(parts)))
                parts = None
        return whole

    @property
    def code(self) -> EndCode | None:
        return None if self.bad is None else self.bad[0]


def mask(data: bytes, key: bytes = MASK) -> bytes:
    repeated = key * (len(data) // 4 + 1)
    whole = int.from_bytes(data) ^ int.from_bytes(repeated[: len(data)])
    return whole.to_bytes(len(data))


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    bit = 0x80 if masked else 0
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 65536:
        head += struct.pack("!BH", bit | 126, len(data))
    else:
        head += struct.pack("!BQ", bit | 127, len(data))
    return head + (MASK + mask(data) if masked else data)


def text(data: str) -> bytes:
    return frame(1, data.encode())


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges) if start < stop]


@st.composite
def wires(draw: st.DrawFn) -> tuple[bytes, list[tuple[bool, bytes]], list[bytes]]:
    """A valid sequence of frames, the messages in it and the control frames in it."""
    wire, messages, controls = bytearray(), [], []

    def maybe_control() -> None:
        if draw(st.booleans()):
            made = frame(draw(st.sampled_from([9, 10])), draw(st.binary(max_size=125)))
            controls.append(made)
            wire.extend(made)

    for _ in range(draw(st.integers(0, 5))):
        is_text = draw(st.booleans())
        size = draw(st.sampled_from([0, 1, 125, 126, 127, 2047, 2048, 65535, 65536]) | st.integers(0, 300))
        data = (draw(st.sampled_from(["x", "é", "€", "𝄞"])) * size).encode() if is_text else os.urandom(1) * size
        messages.append((is_text, data))
        parts = cut(data, draw(st.lists(st.integers(0, 2**20), max_size=3))) or [b""]
        if draw(st.booleans()):
            parts.insert(draw(st.integers(0, len(parts))), b"")
        for index, part in enumerate(parts):
            maybe_control()
            wire.extend(frame((1 if is_text else 2) if index == 0 else 0, part, fin=index == len(parts) - 1))
    maybe_control()
    return bytes(wire), messages, controls


@given(wires(), st.lists(st.integers(0, 2**20), max_size=30))
def test_any_split_into_chunks_gives_the_same_messages(
    wire: tuple[bytes, list[tuple[bool, bytes]], list[bytes]], at: list[int]
) -> None:
    data, messages, controls = wire

    heard = Heard().feed(*cut(data, at))

    assert heard.bad is None
    assert heard.messages() == messages
    assert heard.controls == controls


def test_chunks_of_one_byte_give_the_same_messages() -> None:
    data = text("héllo") + frame(2, b"a" * 200, fin=False) + frame(9, b"ping") + frame(0, b"b" * 3) + frame(2)

    heard = Heard().feed(*(data[place : place + 1] for place in range(len(data))))

    assert heard.messages() == [(True, "héllo".encode()), (False, b"a" * 200 + b"b" * 3), (False, b"")]
    assert heard.controls == [frame(9, b"ping")]


def reference(data: bytes) -> list[tuple[bool, bytes]]:
    """What the websockets library makes of it."""
    protocol = Protocol(SERVER, max_size=None, state=State.OPEN)
    protocol.receive_data(data)
    assert protocol.parser_exc is None
    whole: list[tuple[bool, bytes]] = []
    parts = b""
    is_text = False
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.TEXT, Opcode.BINARY):
            is_text, parts = event.opcode is Opcode.TEXT, b""
        elif event.opcode is not Opcode.CONT:
            continue
        parts += bytes(event.data)
        if event.fin:
            whole.append((is_text, parts))
    return whole


@given(wires())
def test_valid_input_reads_as_in_the_websockets_library(
    wire: tuple[bytes, list[tuple[bool, bytes]], list[bytes]],
) -> None:
    assert Heard().feed(wire[0]).messages() == reference(wire[0])


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_garbage_ends_in_a_clear_fault_or_waits_for_more(chunks: list[bytes]) -> None:
    heard = Heard().feed(*chunks)

    assert heard.code in (None, EndCode.PROTOCOL_ERROR, EndCode.BAD_UTF8, EndCode.MESSAGE_TOO_BIG)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(1, b"x", masked=False), EndCode.PROTOCOL_ERROR),
        (frame(2, b"", masked=False), EndCode.PROTOCOL_ERROR),
        (frame(9, b"", masked=False), EndCode.PROTOCOL_ERROR),
        (frame(2, b"x", rsv=0x40), EndCode.PROTOCOL_ERROR),
        (frame(2, b"x", rsv=0x20), EndCode.PROTOCOL_ERROR),
        (frame(1, b"x", rsv=0x10), EndCode.PROTOCOL_ERROR),
        (frame(9, b"x", rsv=0x40), EndCode.PROTOCOL_ERROR),
        *((frame(opcode, b"x"), EndCode.PROTOCOL_ERROR) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        (frame(9, b"x", fin=False), EndCode.PROTOCOL_ERROR),
        (frame(8, b"", fin=False), EndCode.PROTOCOL_ERROR),
        (frame(9, b"x" * 126), EndCode.PROTOCOL_ERROR),
        (frame(8, b"x" * 70_000), EndCode.PROTOCOL_ERROR),
        (frame(0, b"x"), EndCode.PROTOCOL_ERROR),
        (frame(0, b"x", fin=False), EndCode.PROTOCOL_ERROR),
        (frame(2, b"x", fin=False) + frame(2, b"y"), EndCode.PROTOCOL_ERROR),
        (frame(1, b"x", fin=False) + frame(1, b"y", fin=False), EndCode.PROTOCOL_ERROR),
        (frame(1, b"x", fin=False) + frame(0, b"y") + frame(0, b"z"), EndCode.PROTOCOL_ERROR),
        (frame(1, b"\xff"), EndCode.BAD_UTF8),
        (frame(1, b"\xc3"), EndCode.BAD_UTF8),
        (frame(1, b"\xed\xa0\x80"), EndCode.BAD_UTF8),
        (frame(1, b"\xc0\xaf"), EndCode.BAD_UTF8),
        (frame(1, b"\xf4\x90\x80\x80"), EndCode.BAD_UTF8),
        (frame(1, b"x" * 3000 + b"\xff"), EndCode.BAD_UTF8),
        (frame(1, b"\xe2\x82", fin=False) + frame(0, b"", fin=True), EndCode.BAD_UTF8),
        (frame(1, b"\xe2\x82", fin=False) + frame(0, b"x"), EndCode.BAD_UTF8),
        (frame(1, b"\xff", fin=False), EndCode.BAD_UTF8),
        (frame(2, b"x" * 1001), EndCode.MESSAGE_TOO_BIG),
        (frame(2, b"x" * 600, fin=False) + frame(0, b"x" * 401), EndCode.MESSAGE_TOO_BIG),
        (bytes([0x82, 0xFF]) + struct.pack("!Q", 2**63) + MASK, EndCode.MESSAGE_TOO_BIG),
    ],
)
def test_every_violation_has_its_code_and_nothing_comes_after_it(wire: bytes, code: EndCode) -> None:
    good = frame(2, b"before")
    for split in (False, True):
        heard = Heard(1000 if code is EndCode.MESSAGE_TOO_BIG else LIMIT)
        data = good + wire
        heard.feed(*(cut(data, range(len(data))) if split else [data]))
        heard.feed(text("after"), frame(9), frame(8))

        assert heard.code is code
        assert heard.bad is not None and heard.bad[1]
        assert heard.reader.is_stopped
        assert heard.items[0] == (Kind.BINARY, b"before")
        assert (Kind.TEXT, b"after") not in heard.items
        assert heard.controls == []


def test_the_detail_of_a_fault_holds_no_payload() -> None:
    heard = Heard().feed(frame(1, b"secret\xff"))

    assert heard.bad is not None
    assert "secret" not in heard.bad[1]


@pytest.mark.parametrize("limit", [1, 125, 126, 65535, 65536, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX + 1])
def test_the_limit_holds_to_the_byte(limit: int) -> None:
    assert Heard(limit).feed(frame(2, b"x" * limit)).messages() == [(False, b"x" * limit)]
    over = Heard(limit).feed(frame(2, b"x" * (limit + 1)))
    assert over.code is EndCode.MESSAGE_TOO_BIG
    assert over.bad is not None and str(limit + 1) in over.bad[1] and str(limit) in over.bad[1]


def test_the_limit_counts_a_message_and_not_a_connection() -> None:
    heard = Heard(10)
    for _ in range(5):
        heard.feed(frame(2, b"x" * 6, fin=False), frame(0, b"x" * 4), frame(2, b"x" * 10))

    assert heard.bad is None
    assert len(heard.messages()) == 10


def test_a_message_above_the_limit_is_refused_before_it_is_read() -> None:
    for size in (20, 200, 100_000, 1_000_000):
        head = frame(2, b"x" * size)[:14]
        assert Heard(10).feed(head).code is EndCode.MESSAGE_TOO_BIG


def test_a_large_message_is_passed_on_while_it_arrives() -> None:
    data = os.urandom(3 * SEGMENT_BYTES_MAX + 5)
    wire = frame(2, data)
    heard = Heard()
    for start in range(0, len(wire), 100_001):
        heard.feed(wire[start : start + 100_001])
        passed = sum(len(part) for _, part in heard.items)
        assert passed >= min(len(data), start + 100_001 - 14)

    assert heard.messages() == [(False, data)]
    assert heard.items[0][0] == Kind.BINARY_FIRST
    assert heard.items[-1][0] == Kind.LAST


def test_a_large_message_in_one_read_is_cut_into_segments() -> None:
    data = os.urandom(2 * SEGMENT_BYTES_MAX + 1)

    heard = Heard().feed(frame(2, data) + text("next"))

    assert [len(part) for _, part in heard.items] == [SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX, 1, 4]
    assert heard.messages() == [(False, data), (True, b"next")]


def test_characters_may_be_cut_anywhere() -> None:
    data = "aé€𝄞".encode()
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            wire = frame(1, data[:first], fin=False) + frame(0, data[first:second], fin=False)
            heard = Heard().feed(wire + frame(0, data[second:]))
            assert heard.messages() == [(True, data)]


def test_a_large_text_is_validated_across_its_segments() -> None:
    good = ("€" * SEGMENT_BYTES_MAX).encode()
    assert Heard().feed(frame(1, good)).messages() == [(True, good)]

    broken = good[:-1]
    assert Heard().feed(frame(1, broken)).code is EndCode.BAD_UTF8


def test_binary_is_not_validated() -> None:
    assert Heard().feed(frame(2, b"\xff\xfe")).messages() == [(False, b"\xff\xfe")]


def test_a_reader_that_is_stopped_hears_nothing() -> None:
    heard = Heard()
    heard.reader.is_stopped = True

    heard.feed(text("x"), frame(9), frame(15))

    assert (heard.items, heard.controls, heard.bad) == ([], [], None)


def test_a_close_frame_stops_the_rest_of_what_was_read() -> None:
    class Closing(Heard):
        def on_control_frame(self, data: bytes) -> None:
            super().on_control_frame(data)
            self.reader.is_stopped = True

    close = frame(8, Close(1000, "bye").serialize())

    heard = Closing().feed(text("a") + close + text("b"))

    assert heard.items == [(Kind.TEXT, b"a")]
    assert heard.controls == [close]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind <= Kind.LAST])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, SEGMENT_BYTES_MAX])
def test_headers_of_frames_are_read_by_the_websockets_library(kind: Kind, size: int) -> None:
    protocol = Protocol(CLIENT, max_size=None, state=State.OPEN)
    begun = kind in (Kind.MIDDLE, Kind.LAST)
    if begun:
        protocol.receive_data(frame_header(Kind.BINARY_FIRST, 0))

    protocol.receive_data(frame_header(kind, size) + bytes(size))

    assert protocol.parser_exc is None
    *_, got = protocol.events_received()
    assert isinstance(got, Frame)
    opcode = {Kind.TEXT: Opcode.TEXT, Kind.TEXT_FIRST: Opcode.TEXT, Kind.MIDDLE: Opcode.CONT, Kind.LAST: Opcode.CONT}
    assert got.opcode is opcode.get(kind, Opcode.BINARY)
    assert got.fin is (kind in (Kind.BINARY, Kind.TEXT, Kind.LAST))
    assert bytes(got.data) == bytes(size)
