from __future__ import annotations

import asyncio

import pytest
from starlette.websockets import WebSocket, WebSocketState

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.stream import TrunkStream
from penstock_runner.stream import ModelStream
from penstock_runner.websocket import make_websocket
from penstock_testing.client_side import MemoryTrunk
from penstock_testing.virtual_time import run_virtual


def made(request: trunk_pb2.OpenStream) -> WebSocket:
    websockets: list[WebSocket] = []

    def on_open(endpoint: Endpoint, stream: TrunkStream, opened: trunk_pb2.OpenStream) -> None:
        model = ModelStream(stream, asyncio.get_running_loop(), 1000, lambda: None)
        websockets.append(make_websocket(opened, model))

    async def main() -> None:
        MemoryTrunk(on_open).open(request=request)

    run_virtual(main())
    return websockets[0]


REQUEST = trunk_pb2.OpenStream(
    stream_id="s1",
    query=b"voice=alloy&voice=echo&empty=&sp=a%20b",
    headers=[
        common_pb2.Header(name="host", value=b"models.example.com:8000"),
        common_pb2.Header(name="cookie", value=b"a=1; b=2"),
        common_pb2.Header(name="x-tag", value=b"one"),
        common_pb2.Header(name="x-tag", value=b"two"),
        common_pb2.Header(name="x-latin", value=b"\xe9"),
    ],
    subprotocols=["p", "q"],
    client=common_pb2.ClientAddress(host="10.0.0.9", port=1234),
    scheme="wss",
)


def test_it_is_a_genuine_websocket_that_is_accepted_already() -> None:
    websocket = made(REQUEST)

    assert type(websocket) is WebSocket
    assert websocket.client_state is WebSocketState.CONNECTED
    assert websocket.application_state is WebSocketState.CONNECTED


def test_headers_query_and_cookies_are_those_of_the_client() -> None:
    websocket = made(REQUEST)

    assert websocket.headers["X-TAG"] == "one"
    assert websocket.headers.getlist("x-tag") == ["one", "two"]
    assert websocket.headers["x-latin"] == "é"
    assert websocket.query_params.getlist("voice") == ["alloy", "echo"]
    assert dict(websocket.query_params) == {"voice": "echo", "empty": "", "sp": "a b"}
    assert websocket.cookies == {"a": "1", "b": "2"}
    assert websocket.scope["subprotocols"] == ["p", "q"]


def test_addresses_are_those_of_the_client() -> None:
    websocket = made(REQUEST)

    assert websocket.client is not None
    assert (websocket.client.host, websocket.client.port) == ("10.0.0.9", 1234)
    assert str(websocket.url) == "wss://models.example.com:8000/v1/websocket?voice=alloy&voice=echo&empty=&sp=a%20b"
    assert str(websocket.base_url) == "wss://models.example.com:8000/"


def test_what_follows_the_endpoint_is_in_the_path_decoded_and_as_sent() -> None:
    websocket = made(trunk_pb2.OpenStream(stream_id="s", path_suffix=b"/room%20one/%C3%A9"))

    assert websocket.scope["path"] == "/v1/websocket/room one/é"
    assert websocket.scope["raw_path"] == b"/v1/websocket/room%20one/%C3%A9"


def test_a_bare_request_works_too() -> None:
    websocket = made(trunk_pb2.OpenStream(stream_id="s"))

    assert websocket.client is None
    assert websocket.url.path == "/v1/websocket"
    assert websocket.scope["scheme"] == "ws"
    assert dict(websocket.headers) == {} and dict(websocket.query_params) == {} and websocket.path_params == {}


def test_state_belongs_to_one_stream_and_app_and_session_behave_as_in_starlette() -> None:
    one, other = made(REQUEST), made(REQUEST)
    one.state.user = "a"

    assert not hasattr(other.state, "user")
    assert one.app is other.app
    with pytest.raises(AssertionError, match="SessionMiddleware"):
        _ = one.session
