from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from penstock_edge import http_protocol
from penstock_edge.http_protocol import HEAD_BYTES_MAX, EdgeHttpProtocol

LIMIT_S = 10.0
UPGRADE = b"GET /ws?a=1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-A: \xe9\r\n\r\n"


class Upgraded(asyncio.Protocol):
    """Notes what it is handed, and echoes what comes after it."""

    def __init__(self, seen: list[bytes]) -> None:
        self._seen = seen

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen.append(data)
        self._transport.write(b"<" + data.rpartition(b"\r\n\r\n")[2] + b">")


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Pair, list[bytes], ServerState]]:
    seen: list[bytes] = []
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws=lambda **_: Upgraded(seen))  # type: ignore[arg-type]
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: EdgeHttpProtocol(config, state, {}), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            async with asyncio.timeout(LIMIT_S):
                yield (reader, writer), seen, state
        finally:
            writer.close()


def test_plain_requests_are_answered_and_the_connection_is_kept() -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), _, _):
            for _ in range(2):
                writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")

    asyncio.run(main())


@pytest.mark.parametrize("cut", [None, 1, 30, len(UPGRADE) - 1, len(UPGRADE), len(UPGRADE) + 3])
def test_an_upgrade_hands_over_the_head_and_every_byte_behind_it(cut: int | None) -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), seen, state):
            data = UPGRADE + b"frames"
            if cut is None:
                writer.write(data)
            else:
                writer.write(data[:cut])
                await writer.drain()
                for _ in range(20):
                    await asyncio.sleep(0)
                writer.write(data[cut:])
            got = b""
            while b"".join(seen).rpartition(b"\r\n\r\n")[2] != b"frames":
                got += await reader.read(100)

            head = seen[0]
            assert head.startswith(b"GET /ws?a=1 HTTP/1.1\r\n") and head.endswith(b"\r\n\r\n")
            assert b"x-a: \xe9\r\n" in head
            assert state.connections == set()

    asyncio.run(main())


def test_another_upgrade_is_answered_as_plain_http() -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), seen, _):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            assert seen == []

    asyncio.run(main())


def test_what_is_not_http_is_answered_with_400() -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), _, _):
            writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400")

    asyncio.run(main())


def test_a_head_without_end_is_cut_off() -> None:
    async def main() -> None:
        async with connected() as ((reader, writer), _, _):
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n")
            sent = 0
            try:
                while not reader.at_eof() and sent < 100 * HEAD_BYTES_MAX:
                    writer.write(b"X-%d: " % sent + b"x" * 1000 + b"\r\n")
                    await writer.drain()
                    sent += 1000
            except ConnectionError:
                pass
            assert sent < 100 * HEAD_BYTES_MAX

    asyncio.run(main())


def test_a_slow_head_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with connected() as ((reader, writer), _, state):
            writer.write(b"GET / HT")
            assert await reader.read() == b""
            assert state.connections == set()

    asyncio.run(main())


def test_an_upgraded_connection_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with connected() as ((reader, writer), _, _):
            writer.write(UPGRADE)
            await reader.readuntil(b">")
            passed = asyncio.Event()
            asyncio.get_running_loop().call_later(0.15, passed.set)
            await passed.wait()
            writer.write(b"alive")
            assert await reader.readuntil(b">") == b"<alive>"

    asyncio.run(main())
