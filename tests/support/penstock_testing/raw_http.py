"""An HTTP client made by hand, for what no library sends: any bytes, in any pieces; and for what libraries hide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

ANSWER_SECONDS = 20.0
"""How long any answer may take; generous, because only a failing test waits so long."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One answer; header names in lower case, in order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    parts: list[bytes]
    """The chunks, when it came in chunks."""
    is_whole: bool
    """False when the connection ended before the body did."""

    def header(self, name: str) -> str | None:
        """The value of a header that is there once at most."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, self.headers
        return values[0] if values else None

    def json(self) -> object:
        """The body as JSON."""
        return json.loads(self.body)


class RawHttp:
    """One TCP connection. Every wait is bounded and fails the test with TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Writes `data` as it is."""
        self.writer.write(data)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self.writer.drain()

    async def ask(self, inputs: object, *headers: tuple[str, str], path: str) -> HttpAnswer:
        """Posts `inputs` as JSON, and reads the answer."""
        await self.send(post(json.dumps(inputs).encode(), *headers, path=path))
        return await self.answer()

    async def line(self) -> bytes:
        """Reads one line."""
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._reader.readuntil(b"\r\n")

    async def answer(self, *, method: str = "POST") -> HttpAnswer:
        """Reads one answer."""
        async with asyncio.timeout(ANSWER_SECONDS):
            status = int((await self.line()).split()[1])
            headers = []
            while (line := await self.line()) != b"\r\n":
                name, _, value = line.decode("latin-1").partition(":")
                headers.append((name.lower(), value.strip()))
            found = dict(headers)
            parts: list[bytes] = []
            body = b""
            try:
                if method == "HEAD" or status in (100, 204, 304):
                    pass
                elif found.get("transfer-encoding") == "chunked":
                    while size := int(await self.line(), 16):
                        parts.append((await self._reader.readexactly(size + 2))[:-2])
                    await self.line()
                    body = b"".join(parts)
                else:
                    body = await self._reader.readexactly(int(found["content-length"]))
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return HttpAnswer(status, headers, b"".join(parts), parts, is_whole=False)
        return HttpAnswer(status, headers, body, parts, is_whole=True)

    async def is_closed(self) -> bool:
        """Waits for the end of the connection; what still comes is skipped."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while await self._reader.read(65_536):
                    pass
        except ConnectionResetError:
            pass
        return True

    def abort(self) -> None:
        """Ends the connection without a word."""
        self.writer.transport.abort()


def post(body: bytes, *headers: tuple[str, str], path: str, method: str = "POST") -> bytes:
    """A request with its length."""
    given = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body))} | dict(headers)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def raw_http(address: str) -> AsyncIterator[RawHttp]:
    """A TCP connection to `address` ("host:port")."""
    host, _, port = address.rpartition(":")
    client = RawHttp(*await asyncio.open_connection(host, int(port)))
    try:
        yield client
    finally:
        client.abort()
