"""A WebSocket at the predict path of a model that knows nothing of WebSocket: one message is one request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it comes without types
import pytest
from websockets.sync.client import ClientConnection, connect

from penstock_testing.platform import Platform
from penstock_testing.truss_conformance import ANSWER_SECONDS

Open = Callable[[str], AbstractContextManager[ClientConnection]]
END = {"penstock": "end"}


@pytest.fixture
def opened(platform: Platform) -> Open:
    """Opens a connection to the predict path of a model."""

    @contextmanager
    def open_connection(model: str) -> Iterator[ClientConnection]:
        with connect(f"{platform.edge}/model/{model}/predict", proxy=None, max_size=None) as connection:
            yield connection

    return open_connection


def ask(connection: ClientConnection, value: Any) -> Any:
    """Sends `value` as JSON in a text message; returns the reply out of one."""
    connection.send(json.dumps(value))
    reply = connection.recv(ANSWER_SECONDS)
    assert isinstance(reply, str)
    return json.loads(reply)


def items(connection: ClientConnection) -> list[str | bytes]:
    """What comes before the marker that ends a streamed result."""
    found: list[str | bytes] = []
    while True:
        message = connection.recv(ANSWER_SECONDS)
        if isinstance(message, str) and message == json.dumps(END):
            return found
        found.append(message)


@pytest.mark.parametrize("value", [{"text": "a"}, "x" * (3 << 20)])
def test_a_text_message_is_a_json_request_and_its_reply_is_one_text_message(opened: Open, value: Any) -> None:
    with opened("sync-predict") as connection:
        assert ask(connection, value) == ({"result": "A"} if isinstance(value, dict) else value)


def test_replies_come_in_the_order_of_the_requests(opened: Open) -> None:
    with opened("sync-predict") as connection:
        for number in range(50):
            connection.send(json.dumps(number))

        assert [json.loads(connection.recv(ANSWER_SECONDS)) for _ in range(50)] == list(range(50))


def test_a_binary_message_is_a_messagepack_request_and_so_is_its_reply(opened: Open) -> None:
    with opened("binary-numpy") as connection:
        connection.send(msgpack.packb({"x": b"y"}))

        assert msgpack.unpackb(connection.recv(ANSWER_SECONDS)) == {"x": b"y"}


def test_a_streamed_result_is_a_sequence_that_ends_with_a_marker(opened: Open) -> None:
    with opened("async-generator") as connection:
        for sent in (["a", "b", "c"], ["d"]):
            connection.send(json.dumps({"items": sent}))

        assert [items(connection), items(connection)] == [[b"a", b"b", b"c"], [b"d"]]


def test_a_streamed_result_without_items_is_the_marker_alone(opened: Open) -> None:
    with opened("async-generator") as connection:
        connection.send(json.dumps({"items": []}))

        assert connection.recv(ANSWER_SECONDS) == json.dumps(END)


def test_streamed_text_comes_as_text(opened: Open) -> None:
    with opened("server-sent-events") as connection:
        connection.send(json.dumps({"words": ["a"]}))

        assert items(connection) == ['data: {"token": "a"}\n\n', "data: [DONE]\n\n"]


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("raise", 500, "Internal Server Error (in model/chainlet)."),
        ("fastapi", 422, "too many tokens"),
        ("starlette", 429, {"retry": 7}),
    ],
)
def test_an_error_is_a_reply_and_the_connection_goes_on(opened: Open, kind: str, status: int, error: Any) -> None:
    with opened("failing") as connection:
        assert ask(connection, {"kind": kind}) == {"error": error, "status": status}
        assert ask(connection, {"kind": "?"}) == "fine"


def test_a_message_that_is_no_json_is_an_error_of_its_own(opened: Open) -> None:
    with opened("sync-predict") as connection:
        connection.send("{")
        told = json.loads(connection.recv(ANSWER_SECONDS))

        assert (told["status"], told["error"].startswith("Invalid JSON payload: ")) == (400, True)
        assert ask(connection, 7) == 7


def test_every_request_sees_the_upgrade_and_an_id_of_its_own(opened: Open) -> None:
    with opened("request-only") as connection:
        told = [ask(connection, 1), ask(connection, 2)]

    ids = [value for each in told for name, value in each["headers"] if name == "x-baseten-request-id"]
    assert len(set(ids)) == 2
    assert [each["body"] for each in told] == ["1", "2"]
    assert told[0]["path"] == "/v1/models/model:predict"


def test_a_stream_that_stalls_ends_with_an_error_instead_of_the_marker(opened: Open) -> None:
    with opened("async-generator") as connection:
        connection.send(json.dumps({"items": ["a"], "then": "stall"}))
        messages = [connection.recv(ANSWER_SECONDS), connection.recv(ANSWER_SECONDS)]

    assert messages[0] == b"a"
    assert json.loads(messages[1])["status"] >= 500
