"""truss.md section 1: what a `websocket` method can rely on, and what its client sees."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from penstock_testing.platform import Platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, ModelDoor

Open = Callable[..., AbstractContextManager[ClientConnection]]
MODEL_ERROR = (1011, "Internal Server Error (in model/chainlet).")


@pytest.fixture
def opened(platform: Platform) -> Open:
    """Opens a connection to a model; `endpoint` may stand elsewhere than at the model's own path."""

    @contextmanager
    def open_connection(model: str, endpoint: str = "websocket", **options: Any) -> Iterator[ClientConnection]:
        path = endpoint if endpoint.startswith("/") else f"/model/{model}/{endpoint}"
        with connect(f"{platform.edge}{path}", proxy=None, max_size=None, **options) as connection:
            yield connection

    return open_connection


@pytest.fixture
def commanded(opened: Open) -> Open:
    """Opens a connection to ws-commands and tells it what to do."""

    @contextmanager
    def tell(do: str, **arguments: Any) -> Iterator[ClientConnection]:
        with opened("ws-commands") as connection:
            connection.send(json.dumps({"do": do, **arguments}))
            yield connection

    return tell


def end_of(connection: ClientConnection) -> tuple[int, str]:
    """How the other side closes: code and reason."""
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(ANSWER_SECONDS)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def logged_by_model(commanded: Open) -> list[list[str]]:
    with commanded("log_so_far") as connection:
        log: list[list[str]] = json.loads(connection.recv(ANSWER_SECONDS))
    return log


def was_raised(text: str, commanded: Open) -> bool:
    """Whether an exception with `text` left the model. Its class depends on the version of starlette."""
    return text in [said for _, said in logged_by_model(commanded)]


def about(connection: ClientConnection) -> dict[str, Any]:
    connection.send("about")
    told: dict[str, Any] = json.loads(connection.recv(ANSWER_SECONDS))
    return told


@pytest.mark.parametrize("message", ["text", "", "Grüße, 世界", b"binary", b"", b"\x00\xff"])
def test_kind_and_boundaries_survive(opened: Open, message: str | bytes) -> None:
    with opened("ws-echo") as connection:
        connection.send(message)
        connection.send("next")

        assert [connection.recv(ANSWER_SECONDS), connection.recv(ANSWER_SECONDS)] == [message, "next"]


def test_the_model_sees_the_request_of_the_upgrade(opened: Open) -> None:
    headers = {"X-Customer": "Ada", "Cookie": "session=7"}
    with opened("ws-echo", "websocket?voice=alto&rate=8000", additional_headers=headers) as connection:
        told = about(connection)

    assert told["query"] == {"voice": "alto", "rate": "8000"}
    assert told["headers"]["x-customer"] == "Ada"
    assert told["cookies"] == {"session": "7"}
    assert told["path"] == "/v1/websocket"
    assert told["client"] == "127.0.0.1"
    assert told["path_params"] == {}


def test_the_connection_is_accepted_before_the_model_is_called(opened: Open) -> None:
    with opened("ws-echo") as connection:
        assert about(connection)["states"] == [1, 1]


def test_no_subprotocol_is_chosen_by_the_accept(opened: Open) -> None:
    with opened("ws-echo", subprotocols=["chat"]) as connection:
        assert connection.subprotocol is None


def test_returning_closes_with_1000_whatever_is_returned(commanded: Open) -> None:
    with commanded("return") as connection:
        assert end_of(connection) == (1000, "")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1000, "done"), (1001, ""), (1013, "later"), (4321, "mine")])
def test_code_and_reason_of_the_model_reach_the_client(commanded: Open, code: int, reason: str) -> None:
    with commanded("close", code=code, reason=reason) as connection:
        assert end_of(connection) == (code, reason)


@pytest.mark.parametrize("do", ["raise", "http_exception"])
def test_an_exception_closes_with_1011_and_tells_nothing(commanded: Open, do: str) -> None:
    with commanded(do) as connection:
        assert end_of(connection) == MODEL_ERROR


def test_an_exception_is_logged_with_the_traceback_of_the_model(platform: Platform, commanded: Open) -> None:
    with commanded("raise") as connection:
        end_of(connection)

    def lines() -> list[str]:
        return [line for line in platform.output().splitlines() if "swordfish" in line]

    wait_until(lambda: bool(lines()), ANSWER_SECONDS, "the exception is logged")
    assert "Internal Server Error (in model/chainlet)." in lines()[-1]
    assert "model/model.py" in lines()[-1]
    assert "penstock_runner" not in lines()[-1]


def test_an_exception_behind_the_close_of_the_model_changes_nothing(commanded: Open) -> None:
    with commanded("close_and_raise") as connection:
        assert end_of(connection) == (4001, "mine")


def test_to_accept_again_is_an_error(commanded: Open) -> None:
    with commanded("accept") as connection:
        assert end_of(connection) == MODEL_ERROR

    assert any(name == "RuntimeError" for name, _ in logged_by_model(commanded))


@pytest.mark.parametrize(("do", "message", "key"), [("text", b"binary", "'text'"), ("bytes", "text", "'bytes'")])
def test_the_wrong_kind_of_message_is_a_key_error(commanded: Open, do: str, message: str | bytes, key: str) -> None:
    with commanded(do) as connection:
        connection.send(message)
        assert end_of(connection) == MODEL_ERROR

    assert ["KeyError", key] in logged_by_model(commanded)


@pytest.mark.parametrize("mode", ["text", "binary"])
def test_json_goes_both_ways_in_both_modes(commanded: Open, mode: str) -> None:
    with commanded("json", mode=mode) as connection:
        text = json.dumps({"a": [1, None]})
        connection.send(text if mode == "text" else text.encode())
        received = connection.recv(ANSWER_SECONDS)

    assert isinstance(received, str if mode == "text" else bytes)
    assert json.loads(received) == {"a": [1, None]}


def test_json_is_sent_compact_and_unescaped(commanded: Open) -> None:
    with commanded("object") as connection:
        assert connection.recv(ANSWER_SECONDS) == '{"text":"Grüße, 世界","numbers":[1,2]}'


def test_iterating_ends_silently_when_the_client_closes(commanded: Open) -> None:
    with commanded("iterate") as connection:
        connection.send("loud")
        assert connection.recv(ANSWER_SECONDS) == "LOUD"

    wait_until(lambda: ["iterated", ""] in logged_by_model(commanded), ANSWER_SECONDS, "the iteration has ended")


def test_the_close_of_the_client_reaches_the_model_and_receiving_again_fails(commanded: Open) -> None:
    with commanded("receive_again") as connection:
        connection.close(4007, "bye")

    error = 'Cannot call "receive" once a disconnect message has been received.'
    wait_until(lambda: was_raised(error, commanded), ANSWER_SECONDS, "the model has received again")
    assert ["left", "4007 bye"] in logged_by_model(commanded)


def test_a_lost_connection_is_code_1006(commanded: Open) -> None:
    with commanded("receive_again") as connection:
        connection.socket.shutdown(socket.SHUT_RDWR)

    wait_until(lambda: ["left", "1006 "] in logged_by_model(commanded), ANSWER_SECONDS, "the model knows")


def test_sending_behind_the_own_close_is_an_error(commanded: Open) -> None:
    with commanded("send_after_close") as connection:
        assert end_of(connection) == (1000, "")

    error = 'Cannot call "send" once a close message has been sent.'
    wait_until(lambda: was_raised(error, commanded), ANSWER_SECONDS, "the model has sent")


def test_a_disconnect_that_escapes_is_no_error(platform: Platform, commanded: Open) -> None:
    with commanded("wait"):
        pass

    def told() -> bool:
        return "Client terminated websocket connection" in platform.output()

    wait_until(told, ANSWER_SECONDS, "the log tells of the client")


def test_a_message_of_many_mebibytes_passes(commanded: Open) -> None:
    with commanded("big", size=20 << 20) as connection:
        assert len(connection.recv(ANSWER_SECONDS)) == 20 << 20


def test_a_model_without_a_websocket_method_is_1003(opened: Open) -> None:
    with opened("sync-predict") as connection:
        assert end_of(connection) == (1003, "WebSocket is not implemented on this deployment.")


def test_sessions_take_no_permit_of_predict_concurrency(opened: Open) -> None:
    """`predict_concurrency` is 1, and three sessions are open at once."""
    with opened("ws-and-openai") as first, opened("ws-and-openai") as second, opened("ws-and-openai") as third:
        for connection in (first, second, third):
            connection.send("?")
        counts = [int(connection.recv(ANSWER_SECONDS)) for connection in (first, second, third)]

    assert max(counts) == 3


def test_a_websocket_model_serves_its_openai_paths(door: Callable[[str], ModelDoor]) -> None:
    answer = door("ws-and-openai").call({}, endpoint="sync/v1/chat/completions")

    assert (answer.status, list(answer.json())) == (200, ["open"])


def test_a_websocket_model_has_no_predict(door: Callable[[str], ModelDoor]) -> None:
    answer = door("ws-echo").call({})

    assert (answer.status, answer.code) == (404, "700")


@pytest.mark.parametrize(
    "endpoint",
    ["websocket", "production/websocket", "environments/production/websocket"],
)
def test_the_urls_of_the_gateway(opened: Open, endpoint: str) -> None:
    with opened("ws-echo", endpoint) as connection:
        connection.send("here")
        assert connection.recv(ANSWER_SECONDS) == "here"


def test_the_url_of_a_deployment(platform: Platform, opened: Open) -> None:
    (deployment,) = [each["id"] for each in platform.ready["deployments"] if each["name"] == "ws-echo"]

    with opened("ws-echo", f"deployment/{deployment}/websocket") as connection:
        connection.send("here")
        assert connection.recv(ANSWER_SECONDS) == "here"


@pytest.mark.parametrize("host", ["model-ws-echo.example.com", "model-ws-echo-production.example.com"])
def test_the_hosts_of_the_gateway(platform: Platform, host: str) -> None:
    address, _, port = platform.edge.removeprefix("ws://").partition(":")
    with (
        socket.create_connection((address, int(port)), ANSWER_SECONDS) as edge,
        connect(f"ws://{host}/websocket", sock=edge, proxy=None) as connection,
    ):
        connection.send("here")
        assert connection.recv(ANSWER_SECONDS) == "here"


@pytest.mark.parametrize("place", ["development", "environments/staging", "deployment/x"])
def test_what_is_not_deployed_is_404_before_the_upgrade(opened: Open, place: str) -> None:
    with pytest.raises(InvalidStatus) as refused, opened("ws-echo", f"{place}/websocket"):
        pass

    assert refused.value.response.status_code == 404
