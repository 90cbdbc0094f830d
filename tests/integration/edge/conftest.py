"""A real edge and runner with a model for requests, and a client that writes HTTP by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock_testing.static_platform import StaticPlatform, static_platform

MODEL = "asked"
PREDICT = f"/model/{MODEL}/predict"

ANSWER_SECONDS = 20.0
"""How long any answer may take; generous, because only a failing test waits so long."""

_SOURCE = '''
import asyncio

from fastapi import HTTPException, Request
from fastapi.responses import Response, StreamingResponse


class Model:
    def load(self):
        self.seen = {}

    async def predict(self, inputs, request: Request):
        if not isinstance(inputs, dict):
            return {"size": len(inputs)}
        return await getattr(self, inputs.get("do", "echo"))(inputs, request)

    async def echo(self, inputs, request):
        return inputs

    async def size(self, inputs, request):
        return {"size": len(inputs["data"])}

    async def large(self, inputs, request):
        return {"data": "y" * inputs["size"]}

    async def headers(self, inputs, request):
        return dict(request.headers)

    async def raised(self, inputs, request):
        raise ValueError("a secret of the model")

    async def refused(self, inputs, request):
        raise HTTPException(inputs["status"], "told by the model")

    async def cookies(self, inputs, request):
        response = Response(b"{}", media_type="application/json")
        response.headers.append("set-cookie", "a=1")
        response.headers.append("set-cookie", "b=2")
        response.headers.append("transfer-encoding", "gzip")
        response.headers.append("connection", "close")
        return response

    async def items(self, inputs, request):
        async def generate():
            for number in range(inputs["count"]):
                yield f"item {number} "
                await asyncio.sleep(inputs.get("pause", 0))

        return generate()

    async def blocks(self, inputs, request):
        async def generate():
            for _ in range(inputs["count"]):
                yield bytes(inputs["size"])
                await asyncio.sleep(0)

        return generate()

    async def events(self, inputs, request):
        async def generate():
            for number in range(3):
                yield f"data: {number}\\n\\n"

        return StreamingResponse(generate(), media_type="text/event-stream")

    async def watch(self, inputs, request):
        """Runs until the client is gone; `seen` tells another request."""
        self.seen[inputs["name"]] = "running"
        for _ in range(2000):
            if await request.is_disconnected():
                self.seen[inputs["name"]] = "gone"
                return
            await asyncio.sleep(0.01)

    async def watch_stream(self, inputs, request):
        async def generate():
            self.seen[inputs["name"]] = "running"
            for _ in range(2000):
                if await request.is_disconnected():
                    self.seen[inputs["name"]] = "gone"
                    return
                yield "x"
                await asyncio.sleep(0.01)

        return generate()

    async def ask(self, inputs, request):
        return {"seen": self.seen.get(inputs["name"])}

    async def chat_completions(self, inputs, request: Request):
        return {"choices": inputs.get("messages")}
'''


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

    async def ask(self, inputs: object, *headers: tuple[str, str], path: str = PREDICT) -> HttpAnswer:
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


def post(body: bytes, *headers: tuple[str, str], path: str = PREDICT, method: str = "POST") -> bytes:
    """A request with its length."""
    given = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body))} | dict(headers)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture(scope="package")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticPlatform]:
    folder = tmp_path_factory.mktemp("asked")
    truss = folder / "truss"
    (truss / "model").mkdir(parents=True)
    (truss / "config.yaml").write_text("model_name: asked\nruntime:\n  predict_concurrency: 32\n")
    (truss / "model" / "model.py").write_text(_SOURCE)
    with static_platform(truss, folder, model=MODEL) as platform:
        yield platform


Scenario = Callable[[RawHttp], Awaitable[None]]


@pytest.fixture
def play(asked: StaticPlatform) -> Callable[[Scenario], None]:
    """Runs a scenario on a fresh connection, and looks whether both processes are sound after it."""

    async def run(scenario: Scenario) -> None:
        async with asyncio.timeout(60):
            client = await connected(asked)
            try:
                await scenario(client)
            finally:
                client.abort()

    return lambda scenario: asyncio.run(run(scenario))


async def connected(platform: StaticPlatform) -> RawHttp:
    """A new connection to the edge."""
    host, _, port = platform.http.rpartition(":")
    return RawHttp(*await asyncio.open_connection(host, int(port)))


async def seen(platform: StaticPlatform, name: str, expected: str) -> None:
    """Waits until the model has seen what `expected` says."""
    client = await connected(platform)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while (await client.ask({"do": "ask", "name": name})).json() != {"seen": expected}:
                await asyncio.sleep(0)
    finally:
        client.abort()


def memory_bytes(process_id: int) -> int:
    """The largest resident size that a process has had."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
