from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.server import ServerProtocol

from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.message_socket import READ_AHEAD_BYTES_MAX, MessageSocket
from penstock_testing.edge_connection import Client, close, frame
from penstock_testing.raw_websocket import upgrade
from penstock_testing.request_kit import RequestKit, settle
from penstock_testing.virtual_time import run_virtual


class Socket(MessageSocket):
    """Takes nothing by itself, and notes how it ends."""

    __slots__ = ("ends",)

    ends: list[EndCode]

    @property
    def is_busy(self) -> bool:
        return False

    def on_part(self) -> None:
        pass

    def on_end(self, code: EndCode) -> None:
        self.ends.append(code)


def played(scenario: Callable[[Client, Socket], Awaitable[None]]) -> None:
    async def main() -> None:
        kit = RequestKit()
        client = Client(kit)
        client.state.connections.clear()  # the handshake is not a part of this
        protocol = ServerProtocol(max_size=125)
        protocol.receive_data(upgrade("/x"))
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]  # it is a Request
        client.transport.written += b"".join(protocol.data_to_send())
        deployment = kit.plane.table.by_id("echo-1")
        assert deployment is not None
        socket = Socket(kit.plane, client.state, client.transport, protocol, deployment)
        socket.ends = []
        client.transport.protocol = socket  # type: ignore[assignment]  # as the handshake does
        try:
            await scenario(client, socket)
        finally:
            client.lose()
            await settle()
        assert client.state.connections == set()

    run_virtual(main())


def test_messages_are_taken_in_order_and_parts_one_by_one() -> None:
    async def scenario(client: Client, socket: Socket) -> None:
        assert not socket.has_parts
        client.frame(1, b"text")
        client.frame(2, b"one", fin=False)
        client.frame(0, b"two", fin=False)
        assert socket.take_message() == (Kind.TEXT, b"text")
        assert not socket.is_amid_message
        assert socket.take_message() == (Kind.BINARY_FIRST, b"one")
        assert socket.is_amid_message
        assert await socket.next_part() == b"two"
        waiting = asyncio.create_task(socket.next_part())
        await settle()
        assert not waiting.done()
        client.frame(0, b"three")
        assert await waiting == b"three"
        assert not socket.is_amid_message

    played(scenario)


def test_the_client_is_read_until_its_bytes_fill_the_read_ahead() -> None:
    async def scenario(client: Client, socket: Socket) -> None:
        for _ in range(3):
            assert not client.transport.is_reading_paused
            client.frame(2, bytes(200_000))
        assert READ_AHEAD_BYTES_MAX < 3 * 200_000
        assert client.transport.is_reading_paused
        socket.take_message()
        assert client.transport.is_reading_paused, "half of it must be free"
        socket.take_message()
        assert not client.transport.is_reading_paused

    played(scenario)


def test_pongs_to_a_client_that_reads_nothing_do_not_pile_up() -> None:
    async def scenario(client: Client, socket: Socket) -> None:
        client.frame(9, b"a")
        assert client.frames() == [(True, 10, b"a")]
        socket.pause_writing()
        client.frame(9, b"b")
        assert client.transport.is_reading_paused
        socket.resume_writing()
        assert not client.transport.is_reading_paused

    played(scenario)


def test_who_sends_waits_for_a_slow_client_and_no_longer_than_it_is_there() -> None:
    async def scenario(client: Client, socket: Socket) -> None:
        socket.pause_writing()
        sending = asyncio.create_task(socket.send(int(Kind.TEXT), b"x"))
        await settle()
        assert not sending.done() and client.frames() == [(True, 1, b"x")]
        socket.resume_writing()
        await sending

    played(scenario)


@pytest.mark.parametrize("how", ["client closes", "client is lost", "edge ends"])
def test_an_end_is_told_once_and_nothing_is_sent_after_it(how: str) -> None:
    async def scenario(client: Client, socket: Socket) -> None:
        client.frame(1, b"not taken")
        if how == "client closes":
            client.send(close(1000))
        elif how == "client is lost":
            client.lose()
        else:
            socket.end(EndCode.EDGE_DRAINING)
            socket.end(EndCode.INTERNAL)
        assert socket.is_closing and not socket.has_parts
        written = len(client.transport.written)
        await socket.send(int(Kind.TEXT), b"late")
        assert len(client.transport.written) == written
        expected = {"client closes": EndCode.CLIENT_CLOSED, "client is lost": EndCode.CLIENT_GONE}
        assert socket.ends[0] is expected.get(how, EndCode.EDGE_DRAINING)
        client.send(frame(1, b"after the end"))
        assert not socket.has_parts

    played(scenario)


def test_the_answer_to_the_edges_close_ends_the_connection() -> None:
    async def scenario(client: Client, socket: Socket) -> None:
        socket.end(EndCode.EDGE_DRAINING)
        assert client.close_frame() is not None
        assert not client.transport.is_closed
        client.send(close(1012))
        assert client.transport.is_closed

    played(scenario)
