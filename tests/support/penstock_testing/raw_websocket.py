"""A WebSocket client made by hand, for what no library sends: any bytes, any frame, in any pieces.

It knows RFC 6455 only as far as a test needs it, and checks what comes back strictly.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

KEY = base64.b64encode(b"penstock-testing").decode()
ACCEPT = base64.b64encode(
    hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
).decode()

ANSWER_SECONDS = 10.0
"""How long any answer may take; generous, because only a failing test waits so long."""

_MASK = b"\x37\xfa\x21\x3d"
_HEAD_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the body is empty for 101."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the server."""

    is_final: bool
    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int | None:
        """The code of a close frame; None when it has none."""
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else None

    @property
    def close_reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode()


def upgrade(
    path: str,
    *,
    method: str = "GET",
    version: str = "HTTP/1.1",
    without: Iterable[str] = (),
    replace: dict[str, str] | None = None,
    add: Iterable[tuple[str, str]] = (),
) -> bytes:
    """An upgrade request; `without`, `replace` and `add` make it a bad one. Header names match without case."""
    headers = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    } | (replace or {})
    dropped = {name.lower() for name in without}
    lines = [f"{method} {path} {version}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in dropped]
    lines += [f"{name}: {value}" for name, value in add]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    is_final: bool = True,
    reserved: int = 0,
    is_masked: bool = True,
    length_form: Literal["minimal", "16 bit", "64 bit"] = "minimal",
    claimed_length: int | None = None,
) -> bytes:
    """One frame, valid unless the arguments say otherwise.

    Args:
        reserved: The three reserved bits, 0 to 7.
        claimed_length: What the header says instead of the payload's length.
    """
    length = len(payload) if claimed_length is None else claimed_length
    mask_bit = 0x80 if is_masked else 0
    first = (0x80 if is_final else 0) | reserved << 4 | opcode
    if length_form == "minimal" and length < 126:
        head = struct.pack("!BB", first, mask_bit | length)
    elif length_form == "16 bit" or (length_form == "minimal" and length < 65536):
        head = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, length)
    return head + _MASK + masked(payload) if is_masked else head + payload


def masked(payload: bytes) -> bytes:
    """`payload` under the mask that every frame here uses."""
    size = len(payload)
    mask = (_MASK * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(size) if size else b""


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """Payload of a close frame."""
    return struct.pack("!H", code) + reason


class RawWebSocket:
    """One TCP connection. Every wait is bounded and fails the test with TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.answers_pings = False
        """Whether pings are answered and not returned, as in tests that may take longer than the edge leaves silent."""

    async def send(self, data: bytes) -> None:
        """Writes `data` as it is."""
        self._writer.write(data)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._writer.drain()

    async def send_and_ignore_reset(self, data: bytes) -> None:
        """Writes `data`, of which the other side may refuse to read the rest."""
        try:
            await self.send(data)
        except ConnectionError:
            # What it has answered before can still be read.
            pass

    async def send_in_pieces(self, data: bytes, size: int = 1) -> None:
        """Writes `data` in TCP segments of `size` bytes; the other side gets a chance to read each by itself."""
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            # Nagle's algorithm is off; yielding lets the loop hand the piece to the kernel before the next.
            await asyncio.sleep(0)

    async def answer(self) -> Answer:
        """Reads the answer to a request. 101 must be a correct upgrade."""
        head = await self.head()
        if head.status == 101:
            assert head.headers["sec-websocket-accept"] == ACCEPT, head
            assert head.headers["upgrade"].lower() == "websocket", head
            assert head.headers["connection"].lower() == "upgrade", head
            return head
        async with asyncio.timeout(ANSWER_SECONDS):
            return Answer(head.status, head.headers, await self._body(head.headers))

    async def head(self) -> Answer:
        """Reads the head of an answer to a request, without the body."""
        async with asyncio.timeout(ANSWER_SECONDS):
            return _parse_head(await self._reader.readuntil(b"\r\n\r\n"))

    async def everything(self, seconds: float = ANSWER_SECONDS) -> bytes:
        """Reads until the server ends the connection."""
        data = b""
        try:
            async with asyncio.timeout(seconds):
                while received := await self._reader.read(65_536):
                    data += received
        except ConnectionResetError:
            pass
        return data

    async def upgraded(self, path: str) -> None:
        """Performs a proper handshake."""
        await self.send(upgrade(path))
        answer = await self.answer()
        assert answer.status == 101, answer

    async def frame(self) -> Frame:
        """Reads one frame; the server's frames are neither masked nor have reserved bits.

        Raises:
            EOFError: The server has closed the connection.
        """
        while (read := await self._frame()).opcode == PING and self.answers_pings:
            await self.send(frame(PONG, read.payload))
        return read

    async def _frame(self) -> Frame:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                first, second = await self._reader.readexactly(2)
                assert first & 0x70 == 0, "reserved bits"
                assert second & 0x80 == 0, "a server does not mask"
                size = second
                if second == 126:
                    size = struct.unpack("!H", await self._reader.readexactly(2))[0]
                elif second == 127:
                    size = struct.unpack("!Q", await self._reader.readexactly(8))[0]
                payload = await self._reader.readexactly(size)
        except ConnectionResetError as exc:
            raise EOFError("connection reset") from exc
        return Frame(bool(first & 0x80), first & 0x0F, payload)

    async def message(self) -> str | bytes:
        """Reads a data message, whatever its fragments; a control frame in between is an error."""
        first = await self.frame()
        assert first.opcode in (TEXT, BINARY), first
        payload, last = first.payload, first
        while not last.is_final:
            last = await self.frame()
            assert last.opcode == CONTINUATION, last
            payload += last.payload
        return payload.decode() if first.opcode == TEXT else payload

    async def closed(self) -> Frame | None:
        """Reads until the server ends the connection; returns its close frame, or None when there was none.

        Data that was on its way is skipped; nothing may follow the close frame.
        """
        close: Frame | None = None
        while True:
            try:
                received = await self.frame()
            except EOFError:
                return close
            assert close is None, f"{received} follows the close frame"
            if received.opcode == CLOSE:
                close = received

    def half_close(self) -> None:
        """Sends FIN, and goes on reading."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Ends the connection with RST."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        assert "transfer-encoding" not in headers, "the kit reads no chunks"
        return await self._reader.read(-1)


Play = Callable[[Callable[[RawWebSocket], Awaitable[None]]], None]
"""Runs a scenario on a fresh connection; the fixture `play` is one."""


def _parse_head(data: bytes) -> Answer:
    status_line, *lines = data.decode("latin-1")[:-4].split("\r\n")
    protocol, status, *_ = status_line.split(" ", 2)
    assert protocol == "HTTP/1.1", status_line
    fields = (line.partition(":") for line in lines)
    return Answer(int(status), {name.strip().lower(): value.strip() for name, _, value in fields}, b"")


@asynccontextmanager
async def raw_websocket(address: str) -> AsyncIterator[RawWebSocket]:
    """A TCP connection to `address` ("host:port") without a handshake."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=_HEAD_BYTES_MAX)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield RawWebSocket(reader, writer)
    finally:
        writer.transport.abort()
