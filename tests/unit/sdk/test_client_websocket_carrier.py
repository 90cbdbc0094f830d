"""What is special to streams over WebSocket: headers, paths, subprotocols, and servers that misbehave."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, serve

from penstock import Client, ClientError, EndCode, LifecycleError, Stream, StreamClosedError
from penstock_testing.fake_edge import Conversation, echo, fake_edge


def test_headers_and_token_arrive() -> None:
    async def run() -> None:
        async with fake_edge({"echo": echo}) as edge, Client(edge.websocket_url, token="secret") as client:
            async with client.stream("echo", headers={"X-Language": "de"}):
                pass
            async with client.stream("echo", headers=[("X-A", "1"), ("X-B", "2")]):
                pass

        first, second = edge.arrivals
        assert (first.headers["X-Language"], first.headers["Authorization"]) == ("de", "Bearer secret")
        assert (second.headers["X-A"], second.headers["X-B"]) == ("1", "2")
        assert "secret" not in repr(client)

    asyncio.run(run())


def test_the_path_follows_from_the_names_or_is_given() -> None:
    async def run() -> None:
        async with fake_edge({"echo": echo, "": echo}) as edge, Client(edge.websocket_url) as client:
            for stream in (
                client.stream("echo", environment="staging"),
                client.stream(),
                client.stream(path="/ws?lang=de"),
            ):
                async with stream:
                    pass

        assert [arrival.path for arrival in edge.arrivals] == [
            "/model/echo/environments/staging/websocket",
            "/v1/websocket",
            "/ws?lang=de",
        ]

    asyncio.run(run())


def test_the_model_chooses_a_subprotocol() -> None:
    async def run() -> None:
        async with fake_edge({"echo": echo}) as edge, Client(edge.websocket_url) as client:
            async with client.stream("echo", subprotocols=("v1", "v2")) as stream:
                assert stream.subprotocol == "v2"
            async with client.stream("echo") as stream:
                assert stream.subprotocol is None

    asyncio.run(run())


def test_a_message_beyond_the_clients_limit_ends_the_stream() -> None:
    async def large(conversation: Conversation) -> None:
        await conversation.send(b"x" * 2000)
        await conversation.recv()

    async def run() -> None:
        async with (
            fake_edge({"large": large}) as edge,
            Client(edge.websocket_url, message_bytes_max=1000) as client,
            client.stream("large") as stream,
        ):
            with pytest.raises(ClientError) as caught:
                await stream.recv()

            assert (caught.value.code, stream.close_code) == (EndCode.MESSAGE_TOO_BIG, 1009)

    asyncio.run(run())


def test_a_connection_that_breaks_is_an_error_worth_another_try() -> None:
    async def breaks(connection: ServerConnection) -> None:
        connection.transport.abort()

    async def run() -> None:
        async with serve(breaks, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with Client(f"ws://127.0.0.1:{port}") as client, client.stream("any") as stream:
                with pytest.raises(LifecycleError) as caught:
                    await stream.recv()

                assert (caught.value.close_code, caught.value.retryable) == (1006, True)
                assert stream.close_code == 1006

    asyncio.run(run())


async def send_until_it_fails(stream: Stream) -> None:
    while True:
        await stream.send("x")


def test_the_end_is_known_without_receiving() -> None:
    gone = asyncio.Event()

    async def leaves(connection: ServerConnection) -> None:
        await connection.close(4002, "later")
        await connection.wait_closed()
        gone.set()

    async def run() -> None:
        async with serve(leaves, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with Client(f"ws://127.0.0.1:{port}") as client, client.stream("any") as stream:
                await gone.wait()
                with pytest.raises(StreamClosedError):
                    await send_until_it_fails(stream)

                assert (stream.close_code, stream.close_reason) == (4002, "later")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", EndCode.BAD_UPGRADE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", EndCode.BAD_UPGRADE),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", EndCode.REPLICA_LOST),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", EndCode.BAD_UPGRADE),
        (b"", EndCode.BAD_UPGRADE),
    ],
)
def test_an_answer_that_is_no_upgrade_is_a_typed_error(answer: bytes, code: EndCode) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with Client(f"ws://127.0.0.1:{port}") as client:
                with pytest.raises(Exception, match=code) as caught:
                    async with client.stream("any"):
                        pytest.fail("the stream was opened")

        assert getattr(caught.value, "code", None) is code

    asyncio.run(run())


def test_a_cancelled_opening_leaves_no_connection() -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(1000):
                pass
        except ConnectionResetError:
            pass
        left.set()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with Client(f"ws://127.0.0.1:{port}") as client:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.stream("any").__aenter__(), 0.05)
                await asyncio.wait_for(left.wait(), 5)

    asyncio.run(run())
