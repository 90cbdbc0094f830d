"""Data frames of a connection that negotiated permessage-deflate: the `websockets` library does all of the framing.

Slower than `frames` and used only where a deployment allows compression and the client asks for it. Same interface.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from websockets.exceptions import PayloadTooBig
from websockets.extensions.base import ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import SEGMENT_BYTES_MAX
from penstock_edge.frames import FrameHandler

WINDOW_BITS = 12
"""Size of each zlib window as a power of two: 15, the most, costs 64 KiB a connection and compresses little better."""


def deflate_extensions() -> Sequence[ServerExtensionFactory]:
    """Returns what a deployment that allows compression offers."""
    return [
        ServerPerMessageDeflateFactory(
            server_max_window_bits=WINDOW_BITS,
            client_max_window_bits=WINDOW_BITS,
            compress_settings={"memLevel": 5},
        )
    ]


class CompressedReader:
    """Parses what a client sends; the limit holds for the inflated size, and is checked while inflating."""

    __slots__ = ("_decoder", "_handler", "_is_text", "_protocol", "_started", "is_stopped")

    def __init__(self, handler: FrameHandler, protocol: ServerProtocol, message_bytes_max: int) -> None:
        self._handler = handler
        self._protocol = protocol
        protocol.max_message_size = message_bytes_max
        protocol.max_fragment_size = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_text = False
        self._started = False
        self.is_stopped = False

    def feed(self, data: bytes) -> None:
        """Takes what was read from the socket, in order."""
        if self.is_stopped:
            return
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if self.is_stopped:
                return
            if not isinstance(event, Frame):
                continue
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._take(event)
            else:
                self._handler.on_control_event(event)
        error = protocol.parser_exc
        if error is not None and not self.is_stopped:
            self.is_stopped = True
            code = EndCode.MESSAGE_TOO_BIG if isinstance(error, PayloadTooBig) else EndCode.PROTOCOL_ERROR
            self._handler.on_bad_data(code, "")
        else:
            self._handler.on_control_end()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
            self._started = False
            self._decoder = codecs.getincrementaldecoder("utf-8")() if self._is_text else None
        if self._decoder is not None:
            try:
                self._decoder.decode(frame.data, frame.fin)
            except UnicodeDecodeError as error:
                self.is_stopped = True
                self._handler.on_bad_data(EndCode.BAD_UTF8, f"{error.reason} at byte {error.start}")
                return
        data = bytes(frame.data)
        for offset in range(0, len(data) or 1, SEGMENT_BYTES_MAX):
            part = data[offset : offset + SEGMENT_BYTES_MAX]
            self._pass_on(part, is_last=frame.fin and offset + SEGMENT_BYTES_MAX >= len(data))

    def _pass_on(self, data: bytes, *, is_last: bool) -> None:
        if self._started:
            kind = Kind.LAST if is_last else Kind.MIDDLE
        elif self._is_text:
            kind = Kind.TEXT if is_last else Kind.TEXT_FIRST
        else:
            kind = Kind.BINARY if is_last else Kind.BINARY_FIRST
        self._started = True
        self._handler.on_data(kind, data)


def compressed_frame(protocol: ServerProtocol, kind: int, data: bytes) -> bytes:
    """Returns the frame that carries an item of `kind` to a client."""
    is_last = kind in (Kind.BINARY, Kind.TEXT, Kind.LAST)
    if kind in (Kind.TEXT, Kind.TEXT_FIRST):
        protocol.send_text(data, is_last)
    elif kind in (Kind.BINARY, Kind.BINARY_FIRST):
        protocol.send_binary(data, is_last)
    else:
        protocol.send_continuation(data, is_last)
    return b"".join(protocol.data_to_send())
