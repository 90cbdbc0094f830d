"""Makes the Starlette WebSocket that a model's `websocket` method gets: genuine, and already accepted."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.websockets import WebSocket, WebSocketState

from penstock.api.trunk.v1 import trunk_pb2
from penstock_runner.stream import ModelStream

MODEL_PATH = "/v1/websocket"
"""What a Truss server's own WebSocket path is, and so what models find in `websocket.url`."""

ON_GONE = "penstock.on_gone"
"""Key in the extensions of the scope: a function that takes what is called once the client has left. Chainlets ask."""

_APP = Starlette()
"""What `websocket.app` gives; it has no routes."""

_ASGI = {"version": "3.0", "spec_version": "2.4"}


def make_websocket(request: trunk_pb2.OpenStream, stream: ModelStream) -> WebSocket:
    """Builds the WebSocket over `stream`, in the state after `accept()`."""
    raw_path = MODEL_PATH.encode() + request.path_suffix
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": _ASGI,
        "http_version": "1.1",
        "scheme": request.scheme or "ws",
        "server": None,
        "client": (request.client.host, request.client.port) if request.HasField("client") else None,
        "root_path": "",
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": request.query,
        "headers": [(header.name.encode("latin-1"), header.value) for header in request.headers],
        "subprotocols": list(request.subprotocols),
        "path_params": {},
        "state": {},
        "extensions": {ON_GONE: stream.on_gone},
        "app": _APP,
    }
    websocket = WebSocket(scope, receive=stream.receive, send=stream.send)
    websocket.client_state = WebSocketState.CONNECTED
    websocket.application_state = WebSocketState.CONNECTED
    return websocket
