"""What a type checker must say of code that uses the client. Never run: `make check` reads it.

A line with `type: ignore` must be an error; mypy reports an ignore that is not needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

import penstock
from penstock import CapacityError, Client, EndCode, PenstockError, Stream, StreamClosedError


async def every_argument() -> None:
    async with Client(
        "ws://localhost:8000",
        token="key",
        open_timeout=5,
        close_timeout=0.5,
        message_bytes_max=1 << 20,
        ca_file=Path("ca.pem"),
    ) as client:
        assert_type(client, Client)
        async with client.stream(
            "echo", environment="staging", headers={"x-language": "de"}, subprotocols=["v1"]
        ) as stream:
            assert_type(stream, Stream)
        async with client.stream("echo", deployment="echo-1", headers=[("x-language", "de")]):
            pass
        async with client.stream(path="/ws"):
            pass


async def messages(stream: Stream) -> None:
    await stream.send("text")
    await stream.send(b"bytes")
    await stream.send(bytearray(2))
    await stream.send(memoryview(b"view"))
    assert_type(await stream.recv(), str | bytes)
    assert_type(aiter(stream), AsyncIterator[str | bytes])
    async for message in stream:
        assert_type(message, str | bytes)
    await stream.close()
    await stream.close(4000, "reason")
    await stream.close(code=4000, reason="reason")
    assert_type(stream.close_code, int | None)
    assert_type(stream.close_reason, str | None)
    assert_type(stream.subprotocol, str | None)


async def errors(stream: Stream) -> None:
    try:
        await stream.recv()
    except CapacityError as error:
        assert_type(error.code, EndCode)
        assert_type(error.close_code, int)
        assert_type(error.retryable, bool)
    except StreamClosedError as error:
        assert_type(error.reason, str)
    except PenstockError as error:
        assert_type(error.reason, str)


async def mistakes(client: Client, stream: Stream) -> None:
    Client()  # type: ignore[call-arg]
    Client("ws://localhost", "token")  # type: ignore[call-arg]
    client.stream("echo", "staging")  # type: ignore[call-arg]
    client.stream("echo", subprotocols=1)  # type: ignore[arg-type]
    await stream.send(1)  # type: ignore[arg-type]
    await stream.send({"a": 1})  # type: ignore[arg-type]
    await stream.recv(1)  # type: ignore[call-arg]
    stream.send("never awaited")  # type: ignore[unused-coroutine]
    stream.close_code = 1  # type: ignore[misc]
    with client.stream("echo"):  # type: ignore[attr-defined]
        pass
    _ = penstock.Klient  # type: ignore[attr-defined]
    assert_type(penstock.__version__, str)
