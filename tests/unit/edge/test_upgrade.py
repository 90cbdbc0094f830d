from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock_edge.routing import Deployment
from penstock_edge.settings import StreamSettings
from penstock_edge.upgrade import open_stream_request, refusal_response, split_target

DEPLOYMENT = Deployment("echo-1", "echo", False, ("production",), (), StreamSettings(message_bytes_max=77))


class Transport:
    def __init__(self, **info: Any) -> None:
        self._info = info

    def get_extra_info(self, name: str) -> Any:
        return self._info.get(name)


def opened(path: str, *headers: tuple[str, str], suffix: bytes = b"", **info: Any) -> trunk_pb2.OpenStream:
    request = Request(path, Headers(headers))
    transport = cast(asyncio.Transport, Transport(**info))
    return open_stream_request(request, transport, DEPLOYMENT, "s-1", suffix)


def answer(code: EndCode, *arguments: Any, **fields: Any) -> tuple[int, dict[str, str], bytes]:
    status, whole = refusal_response(code, *arguments, **fields)
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith(f"HTTP/1.1 {status} ")
    return status, {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}, body


def test_path_and_query_reach_the_runner_as_sent_and_decoded() -> None:
    request = opened("/model/my%20model/websocket?a=1&b=%20?", suffix=b"/x%20y")

    assert request.raw_path == b"/model/my%20model/websocket"
    assert request.path == "/model/my model/websocket"
    assert request.query == b"a=1&b=%20?"
    assert request.path_suffix == b"/x%20y"


def test_the_request_says_who_asks_and_what_may_pass() -> None:
    request = opened("/", peername=("10.0.0.1", 99), ssl_object=object())

    assert (request.client.host, request.client.port, request.scheme) == ("10.0.0.1", 99, "wss")
    assert (request.stream_id, request.deployment_id, request.message_bytes_max) == ("s-1", "echo-1", 77)
    assert request.transport == trunk_pb2.TRANSPORT_WEBSOCKET


def test_a_unix_socket_has_no_client_address() -> None:
    request = opened("/", peername="")

    assert not request.HasField("client")
    assert request.scheme == "ws"


def test_subprotocols_keep_their_order_over_several_headers() -> None:
    request = opened("/", ("Sec-WebSocket-Protocol", "b, a,,"), ("sec-websocket-protocol", " c "))

    assert list(request.subprotocols) == ["b", "a", "c"]


def test_a_target_without_a_query_has_an_empty_one() -> None:
    assert split_target(Request("/x?", Headers())) == (b"/x", b"")
    assert split_target(Request("/x", Headers())) == (b"/x", b"")


def test_a_refusal_says_why_in_json() -> None:
    status, headers, body = answer(EndCode.QUEUE_FULL, retry_after=3)

    assert status == 503
    assert headers["retry-after"] == "3"
    assert headers["connection"] == "close"
    assert headers["content-length"] == str(len(body))
    assert json.loads(body) == {
        "error": "Too many streams are waiting; try again later.",
        "code": "QUEUE_FULL",
        "retryable": True,
    }


def test_a_refusal_of_the_model_keeps_its_status_headers_and_body() -> None:
    status, headers, body = answer(
        EndCode.PERMISSION_DENIED,
        status=418,
        headers=[("X-Why", "tea")],
        body=b"<p>no</p>",
    )

    assert status == 418
    assert headers["x-why"] == "tea"
    assert "content-type" not in headers
    assert body == b"<p>no</p>"


@pytest.mark.parametrize("status", [101, 200, 302, 600, 99999])
def test_a_status_that_is_no_refusal_is_not_passed_on(status: int) -> None:
    assert answer(EndCode.PERMISSION_DENIED, status=status)[0] == 403


def test_an_upgrade_that_is_not_valid_is_told_the_version() -> None:
    assert answer(EndCode.BAD_UPGRADE)[1]["sec-websocket-version"] == "13"
    status, headers, _ = answer(EndCode.BAD_UPGRADE, status=426)
    assert (status, headers["upgrade"]) == (426, "websocket")


@pytest.mark.parametrize("code", sorted(set(EndCode) - {EndCode.COMPLETED, EndCode.MODEL_CLOSED}))
def test_every_code_makes_a_refusal(code: EndCode) -> None:
    status, _, body = answer(code, "Text.")

    assert 400 <= status <= 599
    assert json.loads(body)["error"] == "Text."
