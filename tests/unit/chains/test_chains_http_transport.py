"""Calls over plain HTTP."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from penstock.chains.remote import http_transport
from penstock.chains.remote.http_transport import HttpTransport
from penstock.chains.remote.transport import Call, Reply
from penstock.close_codes import EndCode
from penstock.errors import PenstockError
from penstock_testing.web_server import WebServer, web_server


async def echo(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read(), headers={"X-Seen": "yes"}, status=201)


async def moved(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"location": "/echo"})


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "100"})
    await response.prepare(request)
    await response.write(b"begin")
    assert request.transport is not None
    request.transport.close()
    return response


async def packed(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=gzip.compress(bytes(1_000_000)), headers={"content-encoding": "gzip"})


async def websocket(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data == b"end":
            break
        if message.data == b"text":
            await socket.send_str("text")
        elif message.data == b"fail":
            await socket.close(code=1011, message=b"broken")
        else:
            await socket.send_bytes(message.data + request.headers["x-id"].encode())
    await socket.close()
    return socket


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with web_server(echo=echo, moved=moved, cut=cut, packed=packed, websocket=websocket) as found:
        yield found


def call(url: str, *body: bytes | memoryview, **headers: str) -> Reply:
    return asyncio.run(HttpTransport(url, {"authorization": "Api-Key K"}).call(Call(body, headers)))


def failure(url: str) -> PenstockError:
    with pytest.raises(PenstockError) as caught:
        call(url, b"{}")
    return caught.value


def test_a_call_sends_all_parts_and_returns_all_of_the_response(server: WebServer) -> None:
    reply = call(f"{server.url}echo", b"one", memoryview(b"two"), **{"content-type": "text/x"})

    assert (reply.status, reply.body, reply.headers["x-seen"]) == (201, b"onetwo", "yes")
    headers, body = server.requests[-1]
    assert (body, headers["authorization"], headers["content-type"]) == (b"onetwo", "Api-Key K", "text/x")


def test_large_bodies_go_both_ways(server: WebServer) -> None:
    data = bytes(range(256)) * 8192

    assert call(f"{server.url}echo", data, memoryview(data)).body == data * 2


def test_a_redirect_keeps_the_request(server: WebServer) -> None:
    assert call(f"{server.url}moved", b"kept").body == b"kept"


def test_a_response_that_is_cut_short_is_an_error(server: WebServer) -> None:
    error = failure(f"{server.url}cut")

    assert error.code is EndCode.REPLICA_LOST
    assert "cut short" in error.reason


def test_no_connection_is_an_error() -> None:
    error = failure("http://127.0.0.1:1/")

    assert (error.code, error.retryable) == (EndCode.REPLICA_LOST, True)
    assert "no response from http://127.0.0.1:1/" in error.reason


@pytest.mark.parametrize("path", ["echo", "packed"], ids=["plain", "compressed"])
def test_a_response_has_a_largest_size(server: WebServer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_transport, "REPLY_BYTES_MAX", 100_000)
    with pytest.raises(PenstockError) as caught:
        call(f"{server.url}{path}", bytes(100_001))

    assert caught.value.code is EndCode.MESSAGE_TOO_BIG


def test_a_stream_gives_pieces(server: WebServer) -> None:
    async def run() -> tuple[int, str, bytes]:
        async with HttpTransport(f"{server.url}echo", {}).stream(Call((b"abc",))) as reply:
            return reply.status, reply.headers["x-seen"], b"".join([item async for item in reply.items()])

    assert asyncio.run(run()) == (201, "yes", b"abc")


def test_a_conversation_is_the_websocket_beside_the_url(server: WebServer) -> None:
    async def talk(*messages: bytes) -> list[Any]:
        got: list[Any] = []
        transport = HttpTransport(f"{server.url}chain/x/run_remote", {})
        async with transport.converse(Call(headers={"x-id": "7", "content-type": "a/b"})) as conversation:
            for message in messages:
                await conversation.send(message)
                try:
                    got.append(await conversation.receive())
                except PenstockError as exc:
                    got.append((exc.code, exc.close_code))
        return got

    assert asyncio.run(talk(b"a", b"", b"end")) == [b"a7", b"7", (EndCode.COMPLETED, 1000)]
    assert asyncio.run(talk(b"fail")) == [(EndCode.REPLICA_LOST, 1011)]
    assert asyncio.run(talk(b"text"))[0][0] is EndCode.PROTOCOL_ERROR


def test_a_conversation_that_is_refused_is_an_error() -> None:
    with web_server(echo=echo) as server:

        async def run() -> None:
            async with HttpTransport(f"{server.url}run_remote", {}).converse(Call()):
                raise AssertionError

        with pytest.raises(PenstockError, match="HTTP status 404") as caught:
            asyncio.run(run())

    assert caught.value.code is EndCode.NOT_FOUND
