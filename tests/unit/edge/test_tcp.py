from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest

from penstock_edge.tcp import KEEPALIVE_IDLE_S, TcpState, keep_alive, tcp_state
from penstock_testing.static_platform import wait_until

BOUND_S = 5.0


class Unread(asyncio.Protocol):
    """A connection whose socket is not read."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.paused = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        keep_alive(transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.pause_reading()
        self.paused.set()


def leave(client: socket.socket) -> None:
    client.close()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def stay(client: socket.socket) -> None:
    pass


@pytest.mark.parametrize(
    ("act", "expected"), [(stay, TcpState.ESTABLISHED), (leave, TcpState.CLOSE_WAIT), (reset, TcpState.CLOSED)]
)
def test_the_kernel_tells_how_a_client_left_while_nobody_reads(
    act: Callable[[socket.socket], None], expected: TcpState
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        protocol = Unread()
        server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
        client = socket.create_connection(server.sockets[0].getsockname())
        client.send(b"pause")
        async with asyncio.timeout(BOUND_S):
            await protocol.paused.wait()
        assert protocol.transport is not None
        transport = protocol.transport
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE_S

        act(client)
        wait_until(lambda: tcp_state(transport) is expected, BOUND_S, f"the state {expected.name}")
        client.close()
        transport.abort()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_what_is_no_tcp_socket_is_unknown_and_left_alone() -> None:
    class Nothing(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return None

    keep_alive(Nothing())

    assert tcp_state(Nothing()) is TcpState.UNKNOWN
