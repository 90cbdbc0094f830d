"""The WebSocket of an entrypoint: both forms of upstream's calls, empty messages, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.websockets import WebSocket, WebSocketDisconnect

from penstock.chains.websocket import ChainWebSocket, WebSocketProtocol

GONE = {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}


def text(data: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": data}


def binary(data: bytes) -> dict[str, Any]:
    return {"type": "websocket.receive", "bytes": data}


def serve(handler: Callable[[ChainWebSocket], Awaitable[None]], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs `handler` on an accepted Starlette WebSocket that has received `messages`; returns what it has sent."""
    waiting = [{"type": "websocket.connect"}, *messages]
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def scenario() -> None:
        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": [(b"x-a", b"1")]}
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        sent.clear()
        await handler(ChainWebSocket(websocket))

    asyncio.run(scenario())
    return sent


def test_receive_returns_text_and_bytes_empty_ones_too() -> None:
    async def handler(websocket: ChainWebSocket) -> None:
        assert [await websocket.receive() for _ in range(6)] == ["a", "", b"a", b"", "x", b"y"]
        with pytest.raises(WebSocketDisconnect) as caught:
            await websocket.receive()
        assert (caught.value.code, caught.value.reason) == (1001, "bye")

    both = {"type": "websocket.receive", "text": "x", "bytes": None}
    other = {"type": "websocket.receive", "text": None, "bytes": b"y"}
    serve(handler, text("a"), text(""), binary(b"a"), binary(b""), both, other, GONE)


def test_is_connected_tells_the_truth_with_and_without_await() -> None:
    async def handler(websocket: ChainWebSocket) -> None:
        assert websocket.is_connected() and await websocket.is_connected() is True
        assert repr(websocket.is_connected()) == "True"
        with pytest.raises(WebSocketDisconnect):
            await websocket.receive()
        assert not websocket.is_connected() and await websocket.is_connected() is False

    serve(handler, GONE)


def test_is_connected_is_false_after_an_own_close() -> None:
    async def handler(websocket: ChainWebSocket) -> None:
        await websocket.close()
        assert not websocket.is_connected()

    serve(handler)


def test_iterators_work_with_and_without_await() -> None:
    async def handler(websocket: ChainWebSocket) -> None:
        seen: list[object] = []
        async for message in websocket.iter_text():
            seen.append(message)
            if message == "":
                break
        async for message in await websocket.iter_text():
            seen.append(message)
            break
        async for data in await websocket.iter_bytes():
            seen.append(data)
            if data == b"":
                break
        async for data in websocket.iter_bytes():
            seen.append(data)
            break
        async for value in await websocket.iter_json():
            seen.append(value)
            break
        async for value in websocket.iter_json():
            seen.append(value)  # noqa: PERF401  # the loop must end by itself
        assert seen == ["a", "", "b", b"c", b"", b"d", 1, {"e": 2}]

    messages = (text("a"), text(""), text("b"), binary(b"c"), binary(b""), binary(b"d"), text("1"), binary(b'{"e":2}'))
    serve(handler, *messages, GONE)


def test_json_comes_from_text_and_binary_messages() -> None:
    async def handler(websocket: ChainWebSocket) -> None:
        assert [await websocket.receive_json(), await websocket.receive_json()] == [{"a": "é"}, [1]]
        with pytest.raises(ValueError, match="Expecting"):
            await websocket.receive_json()

    serve(handler, text('{"a":"é"}'), binary(b"[1]"), text("{"))


def test_sending_and_closing_reach_the_client() -> None:
    async def handler(websocket: ChainWebSocket) -> None:
        await websocket.send_text("é")
        await websocket.send_bytes(b"")
        await websocket.send_json({"a": "é"})
        await websocket.close(4000, "enough")

    assert serve(handler) == [
        {"type": "websocket.send", "text": "é"},
        {"type": "websocket.send", "bytes": b""},
        {"type": "websocket.send", "text": '{"a":"é"}'},
        {"type": "websocket.close", "code": 4000, "reason": "enough"},
    ]


def test_headers_and_the_raw_websocket_can_be_reached() -> None:
    async def handler(websocket: ChainWebSocket) -> None:
        assert websocket.headers["X-A"] == "1"
        assert isinstance(websocket._websocket, WebSocket)

    serve(handler)


def test_it_is_a_websocket_of_the_protocol() -> None:
    async def run_remote(websocket: WebSocketProtocol) -> None:
        await websocket.send_text(await websocket.receive_text())

    assert serve(run_remote, text("a")) == [{"type": "websocket.send", "text": "a"}]
