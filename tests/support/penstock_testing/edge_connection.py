"""A client's connection to the edge without a socket: bytes in, bytes out, and a model that the test plays."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import cast

from penstock.api.control.v1 import control_pb2
from penstock_edge.handshake import WebSocketHandshake
from penstock_edge.message_requests import MessageRequests
from penstock_edge.tcp import TcpState
from penstock_edge.websocket import EdgeWebSocket
from penstock_testing.edge_kit import EdgeKit, ModelSide, duration
from penstock_testing.raw_websocket import upgrade
from penstock_testing.virtual_time import run_virtual

NO_PINGS = control_pb2.StreamSettings(ping_interval=duration(0), message_bytes_max=1000_000)
PATH = "/model/echo/websocket"
Frame = tuple[bool, int, bytes]


class Transport(asyncio.Transport):
    """A socket in memory that keeps what is written."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.written = bytearray()
        self.is_reading_paused = False
        self.has_eof = False
        self.is_closed = False
        self.protocol: WebSocketHandshake | EdgeWebSocket | MessageRequests | None = None
        self.tcp_state = TcpState.UNKNOWN
        self.peer: object = ("10.0.0.1", 999)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """Stands in for the socket: the first byte of TCP_INFO is the state."""
        return bytes([self.tcp_state])

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, WebSocketHandshake | EdgeWebSocket | MessageRequests)
        self.protocol = protocol

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": self.peer, "socket": self}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.has_eof, "written after the end"
        if not self.is_closed:
            self.written += data

    def writelines(self, list_of_data: object) -> None:
        for data in cast(list[bytes], list_of_data):
            self.write(data)

    def pause_reading(self) -> None:
        assert not self.is_reading_paused
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        assert self.is_reading_paused
        self.is_reading_paused = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            assert self.protocol is not None
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class ServerState:
    def __init__(self) -> None:
        self.connections: set[object] = set()


class Client:
    """One connection to the edge, driven by hand."""

    def __init__(self, kit: EdgeKit, state: ServerState | None = None) -> None:
        self.kit = kit
        self.state = state or ServerState()
        self.transport = Transport(kit.plane.loop)
        self.transport.set_protocol(WebSocketHandshake(kit.plane, self.state))
        self.protocol.connection_made(self.transport)

    @property
    def protocol(self) -> WebSocketHandshake | EdgeWebSocket | MessageRequests:
        """Who has the socket now."""
        assert self.transport.protocol is not None
        return self.transport.protocol

    @property
    def connection(self) -> EdgeWebSocket:
        """The open connection."""
        assert isinstance(self.protocol, EdgeWebSocket)
        return self.protocol

    def send(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def frame(self, opcode: int, data: bytes = b"", *, fin: bool = True) -> None:
        self.send(frame(opcode, data, fin=fin))

    def lose(self) -> None:
        """The connection breaks."""
        if not self.transport.is_closed:
            self.transport.is_closed = True
            self.protocol.connection_lost(ConnectionResetError())

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        head, _, body = bytes(self.transport.written).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body

    def frames(self) -> list[Frame]:
        """The frames that have come since the answer to the upgrade."""
        data = bytes(self.transport.written).partition(b"\r\n\r\n")[2]
        found = []
        while data:
            head, size = data[0], data[1]
            start = 2
            if size == 126:
                size, start = struct.unpack("!H", data[2:4])[0], 4
            elif size == 127:
                size, start = struct.unpack("!Q", data[2:10])[0], 10
            found.append((bool(head & 0x80), head & 0x0F, data[start : start + size]))
            data = data[start + size :]
        return found

    def close_frame(self) -> tuple[int, str] | None:
        frames = self.frames()
        if not frames or frames[-1][1] != 8:
            return None
        payload = frames[-1][2]
        return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(data))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(data))
    return head + bytes(4) + data


def close(code: int, reason: str = "") -> bytes:
    return frame(8, struct.pack("!H", code) + reason.encode())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def pass_time(kit: EdgeKit, seconds: float) -> None:
    reached = asyncio.Event()
    kit.plane.loop.call_later(seconds, reached.set)
    await reached.wait()


def kit_with(settings: control_pb2.StreamSettings = NO_PINGS) -> EdgeKit:
    kit = EdgeKit()
    kit.apply(("r1", 0, 10), settings=settings, routes=("/ws",))
    return kit


async def opened(kit: EdgeKit, request: bytes = upgrade(PATH), **accept: object) -> tuple[Client, ModelSide]:
    client = Client(kit)
    client.send(request)
    await settle()
    side = kit.runners["r1"].streams[-1]
    side.accept(**accept)
    assert client.answer()[0] == 101
    return client, side


def virtual(test: Callable[[EdgeKit], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test(kit_with())

        run_virtual(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def assert_nothing_left(kit: EdgeKit, *clients: Client) -> None:
    kit.runners["r1"].pump()
    assert kit.plane.active_streams == 0
    assert kit.active("r1") == 0
    assert kit.runners["r1"].edge.streams == {}
    assert kit.runners["r1"].side.streams == {}
    for client in clients:
        assert client.state.connections == set()
    text = kit.plane.metrics.render().decode()
    for line in text.splitlines():
        if line.startswith("baseten_ongoing_websocket_connections{"):
            assert line.endswith(" 0.0")
