"""WebSocket data frames, both ways, without the library's per-frame objects. Pure.

Complete unfragmented data frames are the common case and take a short path. Frames above 256 KiB are passed on in
segments while they arrive, so that a 100 MiB message never lies here. Control frames are handed over as raw bytes:
the `websockets` library answers those.
"""

from __future__ import annotations

import codecs
import struct
from typing import Protocol

from websockets.frames import Frame
from websockets.speedups import apply_mask

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import SEGMENT_BYTES_MAX

_BINARY = int(Kind.BINARY)
_TEXT = int(Kind.TEXT)
_BINARY_FIRST = int(Kind.BINARY_FIRST)
_TEXT_FIRST = int(Kind.TEXT_FIRST)
_MIDDLE = int(Kind.MIDDLE)
_LAST = int(Kind.LAST)

_WHOLE = {0x82: _BINARY, 0x81: _TEXT}
"""First byte of an unfragmented data frame, to the kind of item."""

_DATA_HEADS = frozenset({0x00, 0x01, 0x02, 0x80, 0x81, 0x82})
"""First bytes of data frames without reserved bits: continuation, text and binary, FIN or not."""

_VIEW_BYTES_MIN = 2048
"""From this size, unmasking out of a memoryview is cheaper than copying a slice first."""


class FrameHandler(Protocol):
    """What a reader tells its owner. The owner sets `FrameReader.is_stopped` to hear no more."""

    def on_data(self, kind: int, data: bytes) -> None:
        """A message or a part of one, as an item kind of the trunk."""

    def on_control_frame(self, data: bytes) -> None:
        """A whole control frame, as raw bytes, for the library."""

    def on_control_event(self, frame: Frame) -> None:
        """A control frame that the library has parsed."""

    def on_control_end(self) -> None:
        """The library may have something to send in answer."""

    def on_bad_data(self, code: EndCode, detail: str) -> None:
        """The client broke a limit or the protocol; nothing more will come."""


class Reader(Protocol):
    """What reads a connection's data frames: `FrameReader`, or `compressed.CompressedReader`."""

    is_stopped: bool
    """Whatever comes is ignored: the client broke the protocol, or has closed."""

    def feed(self, data: bytes) -> None:
        """Takes what was read from the socket, in order."""


class FrameReader:
    """Parses what a client sends after the handshake.

    Args:
        message_bytes_max: larger messages are refused when their length is known, before they are read.
    """

    __slots__ = (
        "_buffer",
        "_decoder",
        "_fin",
        "_handler",
        "_in_message",
        "_left",
        "_mask",
        "_message_bytes",
        "_message_bytes_max",
        "_need",
        "_started",
        "is_stopped",
    )

    def __init__(self, handler: FrameHandler, message_bytes_max: int) -> None:
        self._handler = handler
        self._message_bytes_max = message_bytes_max
        self._buffer: bytearray | None = None
        """Bytes of an incomplete frame."""
        self._need = 0
        """Bytes that the buffer must hold before parsing goes on."""
        self._left = 0
        """Payload bytes of the current long or fragmented frame that are still to come."""
        self._fin = False
        self._mask = b""
        self._in_message = 0
        """Opcode of the message that is under way in several frames or segments; 0 when none is."""
        self._started = False
        """A first segment of it has been passed on."""
        self._message_bytes = 0
        self._decoder: codecs.IncrementalDecoder | None = None
        self.is_stopped = False

    def feed(self, data: bytes) -> None:
        """Takes what was read from the socket, in order."""
        position = 0
        while self._buffer is not None:
            # Only what the incomplete frame needs is copied to it; the frames behind it are parsed in place.
            missing = self._need - len(self._buffer)
            self._buffer += memoryview(data)[position : position + missing]
            position += missing
            if position > len(data):
                return
            whole, self._buffer = bytes(self._buffer), None
            self._parse(whole, 0)
        self._parse(data, position)

    def _parse(self, data: bytes, position: int) -> None:
        """Takes every whole frame from `position` on, and keeps the rest."""
        end = len(data)
        on_data = self._handler.on_data
        while position < end:
            if self.is_stopped:
                return
            if self._left:
                position = self._take_part(data, position, end)
                continue
            if end - position < 2:
                return self._keep(data, position, 2)
            head = data[position]
            length = data[position + 1]
            kind = _WHOLE.get(head)
            if length < 128 or (kind is None and head not in _DATA_HEADS):
                position = self._take_odd(data, position, end)
                continue
            length &= 127
            start = position + 6
            if length >= 126:
                extra = 2 if length == 126 else 8
                start += extra
                if end < start:
                    return self._keep(data, position, start - position)
                length = int.from_bytes(data[position + 2 : position + 2 + extra])
            stop = start + length
            if kind is not None and not self._in_message and length <= SEGMENT_BYTES_MAX:
                if stop > end:
                    if length > self._message_bytes_max:
                        return self._too_big(length)
                    return self._keep(data, position, stop - position)
                if length > self._message_bytes_max:
                    return self._too_big(length)
                mask = data[start - 4 : start]
                if length < _VIEW_BYTES_MIN:
                    payload = apply_mask(data[start:stop], mask)
                else:
                    payload = apply_mask(memoryview(data)[start:stop], mask)
                if kind == _TEXT and not payload.isascii():
                    try:
                        payload.decode()
                    except UnicodeDecodeError as error:
                        return self._bad_utf8(error)
                on_data(kind, payload)
                position = stop
            elif end < start:
                return self._keep(data, position, start - position)
            else:
                self._begin_frame(head, length, data[start - 4 : start])
                position = start
        return None

    def _keep(self, data: bytes, position: int, need: int) -> None:
        self._buffer = bytearray(memoryview(data)[position:])
        self._need = need

    def _too_big(self, length: int) -> None:
        self.is_stopped = True
        self._handler.on_bad_data(
            EndCode.MESSAGE_TOO_BIG, f"message of {length} bytes exceeds the limit of {self._message_bytes_max}"
        )

    def _bad_utf8(self, error: UnicodeDecodeError) -> None:
        self.is_stopped = True
        self._handler.on_bad_data(EndCode.BAD_UTF8, f"{error.reason} at byte {error.start}")

    def _begin_frame(self, head: int, length: int, mask: bytes) -> None:
        """Starts a frame that is long or part of a fragmented message."""
        opcode = head & 0x0F
        if (opcode == 0) != (self._in_message != 0):
            self.is_stopped = True
            what = "continuation frame without a message" if opcode == 0 else "new message inside a fragmented one"
            self._handler.on_bad_data(EndCode.PROTOCOL_ERROR, what)
            return
        if opcode:
            self._in_message = opcode
            self._message_bytes = 0
            self._started = False
            self._decoder = codecs.getincrementaldecoder("utf-8")() if opcode == 1 else None
        if self._message_bytes + length > self._message_bytes_max:
            self._too_big(self._message_bytes + length)
            return
        self._message_bytes += length
        self._left = length
        self._mask = mask
        self._fin = bool(head & 0x80)
        if length == 0:
            self._pass_on(b"")

    def _take_part(self, data: bytes, position: int, end: int) -> int:
        size = min(self._left, end - position, SEGMENT_BYTES_MAX)
        payload = apply_mask(memoryview(data)[position : position + size], self._mask)
        turn = size % 4
        if turn:
            self._mask = self._mask[turn:] + self._mask[:turn]
        self._left -= size
        self._pass_on(payload)
        return position + size

    def _pass_on(self, payload: bytes) -> None:
        is_last = self._fin and self._left == 0
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, is_last)
            except UnicodeDecodeError as error:
                self._bad_utf8(error)
                return
        is_text = self._in_message == 1
        if not self._started:
            if is_last:
                kind = _TEXT if is_text else _BINARY
            else:
                kind = _TEXT_FIRST if is_text else _BINARY_FIRST
        else:
            kind = _LAST if is_last else _MIDDLE
        self._started = True
        if is_last:
            self._in_message = 0
            self._decoder = None
        self._handler.on_data(kind, payload)

    def _take_odd(self, data: bytes, position: int, end: int) -> int:
        """Hands a control frame over when it is whole; anything else here breaks RFC 6455."""
        head, length = data[position], data[position + 1]
        fault = _fault(head, length)
        if fault is not None:
            self.is_stopped = True
            self._handler.on_bad_data(EndCode.PROTOCOL_ERROR, fault)
            return end
        stop = position + 6 + (length & 127)
        if stop > end:
            self._keep(data, position, stop - position)
            return end
        self._handler.on_control_frame(data[position:stop])
        return stop


def _fault(head: int, length: int) -> str | None:
    """Says what is wrong with the first two bytes of a frame that is no proper data frame (RFC 6455 section 5.2)."""
    opcode = head & 0x0F
    if head & 0x70:
        return "reserved bits are set"
    if opcode not in (0, 1, 2, 8, 9, 10):
        return f"opcode {opcode} is reserved"
    if length < 128:
        return "client frame is not masked"
    if not head & 0x80:
        return "control frame is fragmented"
    if length & 127 > 125:
        return "control frame is longer than 125 bytes"
    return None


_SMALL_HEADS = {
    head: tuple(bytes((head, size)) for size in range(126)) for head in (0x82, 0x81, 0x02, 0x01, 0x00, 0x80)
}
_HEAD_OF_KIND = {
    _BINARY: 0x82,
    _TEXT: 0x81,
    _BINARY_FIRST: 0x02,
    _TEXT_FIRST: 0x01,
    _MIDDLE: 0x00,
    _LAST: 0x80,
}
_SMALL_HEADS_OF_KIND = {kind: _SMALL_HEADS[head] for kind, head in _HEAD_OF_KIND.items()}


def frame_header(kind: int, size: int) -> bytes:
    """Returns the header of the frame that carries an item of `kind` to a client: a server does not mask."""
    if size < 126:
        return _SMALL_HEADS_OF_KIND[kind][size]
    if size < 65536:
        return struct.pack("!BBH", _HEAD_OF_KIND[kind], 126, size)
    return struct.pack("!BBQ", _HEAD_OF_KIND[kind], 127, size)
