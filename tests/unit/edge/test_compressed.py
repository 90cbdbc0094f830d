from __future__ import annotations

import zlib

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import SEGMENT_BYTES_MAX
from penstock_edge.compressed import WINDOW_BITS, CompressedReader, compressed_frame, deflate_extensions

LIMIT = 1024 * 1024


class Pair:
    """A client of the websockets library that has agreed on compression, and the edge's reader."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.server = ServerProtocol(extensions=deflate_extensions(), max_size=125)
        self.client = ClientProtocol(parse_uri("ws://h/"), extensions=[ClientPerMessageDeflateFactory()], max_size=None)
        self.client.send_request(self.client.connect())
        self.server.receive_data(b"".join(self.client.data_to_send()))
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        self.server.send_response(self.server.accept(request))
        self.client.receive_data(b"".join(self.server.data_to_send()))
        self.client.events_received()
        assert self.server.extensions
        self.items: list[tuple[int, bytes]] = []
        self.controls: list[Frame] = []
        self.bad: EndCode | None = None
        self.ends = 0
        self.reader = CompressedReader(self, self.server, limit)

    def on_data(self, kind: int, data: bytes) -> None:
        assert self.bad is None
        assert len(data) <= SEGMENT_BYTES_MAX
        self.items.append((kind, data))

    def on_control_frame(self, data: bytes) -> None:
        raise AssertionError("the library parses these here")

    def on_control_event(self, frame: Frame) -> None:
        self.controls.append(frame)

    def on_control_end(self) -> None:
        self.ends += 1

    def on_bad_data(self, code: EndCode, detail: str) -> None:
        assert self.bad is None
        self.bad = code

    def sent(self) -> bytes:
        return b"".join(self.client.data_to_send())

    def heard(self, frames: bytes) -> list[Frame]:
        self.client.receive_data(frames)
        return [event for event in self.client.events_received() if isinstance(event, Frame)]


def test_compressed_messages_come_whole_and_small_on_the_wire() -> None:
    pair = Pair()
    pair.client.send_text(b"abc" * 1000)
    pair.client.send_binary(b"\xff" * 10)
    wire = pair.sent()

    pair.reader.feed(wire[:7])
    pair.reader.feed(wire[7:])

    assert pair.items == [(Kind.TEXT, b"abc" * 1000), (Kind.BINARY, b"\xff" * 10)]
    assert len(wire) < 200


def test_fragments_and_large_messages_come_in_segments() -> None:
    pair = Pair()
    pair.client.send_text("é".encode()[:1], fin=False)
    pair.client.send_continuation("é".encode()[1:] + b"x" * SEGMENT_BYTES_MAX, fin=True)

    pair.reader.feed(pair.sent())

    assert [kind for kind, _ in pair.items] == [Kind.TEXT_FIRST, Kind.MIDDLE, Kind.LAST]
    assert b"".join(data for _, data in pair.items) == "é".encode() + b"x" * SEGMENT_BYTES_MAX


def test_the_limit_holds_for_the_inflated_size_to_the_byte() -> None:
    pair = Pair(1000)
    pair.client.send_binary(b"x" * 1000)
    pair.reader.feed(pair.sent())
    assert pair.items == [(Kind.BINARY, b"x" * 1000)]

    pair.client.send_binary(b"x" * 1001)
    pair.reader.feed(pair.sent())

    assert pair.bad is EndCode.MESSAGE_TOO_BIG
    assert pair.reader.is_stopped


def test_a_bomb_is_refused_while_it_is_inflated() -> None:
    pair = Pair(10_000)
    pair.client.send_binary(bytes(50_000_000))
    wire = pair.sent()
    assert len(wire) < 100_000

    pair.reader.feed(wire)

    assert pair.bad is EndCode.MESSAGE_TOO_BIG
    assert pair.items == []


def test_the_limit_holds_across_fragments() -> None:
    pair = Pair(1000)
    pair.client.send_binary(b"x" * 600, fin=False)
    pair.client.send_continuation(b"x" * 401, fin=True)

    pair.reader.feed(pair.sent())

    assert pair.bad is EndCode.MESSAGE_TOO_BIG


def test_text_that_is_not_utf8_is_refused_and_nothing_comes_after_it() -> None:
    pair = Pair()
    pair.client.send_text(b"\xff")
    pair.client.send_text(b"after")

    pair.reader.feed(pair.sent())
    pair.client.send_text(b"later")
    pair.reader.feed(pair.sent())

    assert pair.bad is EndCode.BAD_UTF8
    assert pair.items == []


def test_broken_compression_is_a_protocol_error() -> None:
    pair = Pair()
    payload = b"\xff" * 20
    pair.reader.feed(bytes([0xC2, 0x80 | len(payload)]) + bytes(4) + payload)

    assert pair.bad is EndCode.PROTOCOL_ERROR


def test_control_frames_are_told_and_may_be_answered() -> None:
    pair = Pair()
    pair.client.send_ping(b"p")
    pair.client.send_close(1000, "bye")

    pair.reader.feed(pair.sent())

    assert [frame.opcode for frame in pair.controls] == [Opcode.PING, Opcode.CLOSE]
    assert pair.ends >= 1


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.BINARY])
def test_messages_to_the_client_are_compressed_and_read_by_it(kind: Kind) -> None:
    pair = Pair()
    data = b"hello " * 1000

    wire = compressed_frame(pair.server, kind, data)

    (got,) = pair.heard(wire)
    assert len(wire) < len(data) / 10
    assert bytes(got.data) == data
    assert got.opcode is (Opcode.TEXT if kind is Kind.TEXT else Opcode.BINARY)


def test_segments_to_the_client_make_one_message() -> None:
    pair = Pair()
    wire = b"".join(
        compressed_frame(pair.server, kind, data)
        for kind, data in [(Kind.TEXT_FIRST, b"a"), (Kind.MIDDLE, b"b"), (Kind.LAST, b"c"), (Kind.BINARY, b"d")]
    )

    got = pair.heard(wire)

    assert [(frame.opcode, frame.fin, bytes(frame.data)) for frame in got] == [
        (Opcode.TEXT, False, b"a"),
        (Opcode.CONT, False, b"b"),
        (Opcode.CONT, True, b"c"),
        (Opcode.BINARY, True, b"d"),
    ]


def test_windows_are_small() -> None:
    assert WINDOW_BITS < zlib.MAX_WBITS
