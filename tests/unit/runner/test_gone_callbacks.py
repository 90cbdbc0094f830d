"""A handler that wants to hear at once that its client has left, whatever waits in its inbox (`penstock.on_gone`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.websockets import WebSocket

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.stream import TrunkStream
from penstock_runner.stream import ModelStream
from penstock_runner.websocket import ON_GONE, make_websocket
from penstock_testing.client_side import MemoryTrunk, settle
from penstock_testing.virtual_time import run_virtual


def test_it_is_told_before_its_messages_are_taken() -> None:
    async def main() -> None:
        models: list[tuple[ModelStream, WebSocket]] = []

        def on_open(endpoint: Endpoint, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
            model = ModelStream(stream, asyncio.get_running_loop(), request.message_bytes_max, lambda: None)
            stream.sink = model
            models.append((model, make_websocket(request, model)))
            endpoint.accept(stream, trunk_pb2.AcceptStream())

        client = MemoryTrunk(on_open).open()
        (model, websocket) = models[0]
        on_gone: Callable[[Callable[[], object]], None] = websocket.scope["extensions"][ON_GONE]
        heard: list[str] = []
        on_gone(lambda: heard.append("first"))
        client.send("waits in the inbox")
        await settle()
        assert (heard, model.is_disconnect_told) == ([], False)

        client.close()
        await settle()
        assert (heard, model.is_disconnect_told) == (["first"], True)

        on_gone(lambda: heard.append("late"))
        assert heard == ["first", "late"]

    run_virtual(main())
