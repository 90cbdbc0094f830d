from __future__ import annotations

import json

import pytest

from penstock.api.common.v1 import common_pb2
from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.handshake import EARLY_BYTES_MAX
from penstock_testing.edge_connection import (
    PATH,
    Client,
    assert_nothing_left,
    close,
    frame,
    kit_with,
    opened,
    settle,
    virtual,
)
from penstock_testing.edge_kit import EdgeKit, duration
from penstock_testing.raw_websocket import upgrade
from penstock_testing.virtual_time import run_virtual


@virtual
async def test_the_runner_is_told_everything_before_the_upgrade_is_answered(kit: EdgeKit) -> None:
    client = Client(kit)
    client.send(
        upgrade(PATH + "?a=1", add=[("X-A", "1"), ("Authorization", "secret"), ("Sec-WebSocket-Protocol", "p")])
    )
    await settle()
    request = kit.runners["r1"].streams[0].request

    assert client.transport.written == b""
    assert (request.raw_path, request.query, request.message_bytes_max) == (PATH.encode(), b"a=1", 1000_000)
    assert (request.client.host, request.client.port) == ("10.0.0.1", 999)
    assert ("x-a", b"1") in [(header.name, header.value) for header in request.headers]
    assert b"secret" not in request.SerializeToString()
    assert list(request.subprotocols) == ["p"]
    client.lose()
    await settle()
    kit.runners["r1"].pump()
    kit.runners["r1"].streams[0].close()
    assert_nothing_left(kit, client)


@virtual
async def test_the_runner_chooses_a_subprotocol_and_headers(kit: EdgeKit) -> None:
    request = upgrade(PATH, add=[("Sec-WebSocket-Protocol", "a, b")])
    forged = common_pb2.Header(name="X-Evil", value=b"1\r\nSet-Cookie: a=b")

    client, _ = await opened(
        kit, request, subprotocol="b", headers=[common_pb2.Header(name="X-Good", value=b"1"), forged]
    )

    _, headers, _ = client.answer()
    assert headers["sec-websocket-protocol"] == "b"
    assert headers["x-good"] == "1"
    assert "set-cookie" not in headers and "x-evil" not in headers
    other, _ = await opened(kit, upgrade(PATH), subprotocol="b")
    assert "sec-websocket-protocol" not in other.answer()[1], "the client did not offer it"


@virtual
async def test_what_a_client_sends_early_is_kept_in_order(kit: EdgeKit) -> None:
    client = Client(kit)
    client.send(upgrade(PATH))
    for number in range(5):
        client.frame(2, bytes([number]))
    await settle()
    kit.runners["r1"].streams[0].accept()
    client.frame(2, b"late")
    await settle()
    kit.runners["r1"].pump()

    assert [data for _, data in kit.runners["r1"].streams[0].take()] == [b"\0", b"\1", b"\2", b"\3", b"\4", b"late"]


@virtual
async def test_a_client_that_sends_much_early_is_not_read_further(kit: EdgeKit) -> None:
    client = Client(kit)
    client.send(upgrade(PATH))
    client.frame(2, bytes(EARLY_BYTES_MAX))
    assert client.transport.is_reading_paused

    await settle()
    kit.runners["r1"].streams[0].accept()
    assert not client.transport.is_reading_paused


@virtual
async def test_a_close_frame_that_comes_early_is_answered_after_the_upgrade(kit: EdgeKit) -> None:
    client = Client(kit)
    client.send(upgrade(PATH))
    client.send(frame(1, b"x") + close(4000, "bye"))
    await settle()
    side = kit.runners["r1"].streams[0]
    side.accept()
    await settle()
    kit.runners["r1"].pump()

    assert client.close_frame() == (4000, "bye")
    assert side.segments == [(Kind.TEXT, b"x")]
    assert side.closing is not None and (side.closing.close_code, side.closing.reason) == (4000, "bye")
    side.close()
    assert_nothing_left(kit, client)


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (upgrade("/model/nothing/websocket"), 404, "NOT_FOUND"),
        (upgrade("/model/echo/wake"), 501, "NOT_WEBSOCKET"),
        (upgrade(PATH, replace={"Sec-WebSocket-Version": "12"}), 400, "BAD_UPGRADE"),
        (upgrade(PATH, without=["Sec-WebSocket-Key"]), 400, "BAD_UPGRADE"),
        (upgrade(PATH, replace={"Sec-WebSocket-Key": "short"}), 400, "BAD_UPGRADE"),
        (upgrade(PATH, without=["Host"]), 400, "BAD_UPGRADE"),
        (upgrade(PATH, add=[("Host", "other")]), 400, "BAD_UPGRADE"),
        (b"GET /m\xff HTTP/1.1\r\nHost: h\r\n\r\n", 400, "BAD_UPGRADE"),
        (b"nonsense\r\n\r\n", 400, "BAD_UPGRADE"),
    ],
)
def test_bad_requests_are_refused_with_an_http_status(request_bytes: bytes, status: int, code: str) -> None:
    async def main() -> None:
        kit = kit_with()
        client = Client(kit)
        client.send(request_bytes)
        await settle()

        got, headers, body = client.answer()

        assert got == status
        assert json.loads(body)["code"] == code
        assert headers["connection"] == "close"
        assert client.transport.is_closed
        assert kit.runners["r1"].streams == []
        assert_nothing_left(kit, client)

    run_virtual(main())


@virtual
async def test_a_refusal_of_the_model_reaches_the_client_as_it_is(kit: EdgeKit) -> None:
    client = Client(kit)
    client.send(upgrade(PATH))
    await settle()

    kit.runners["r1"].streams[0].reject(
        EndCode.PERMISSION_DENIED,
        http_status=402,
        reason="Pay.",
        headers=[common_pb2.Header(name="X-Price", value=b"1")],
        retry_after_seconds=9,
    )
    await settle()

    status, headers, body = client.answer()
    assert (status, headers["x-price"], headers["retry-after"]) == (402, "1", "9")
    assert json.loads(body)["error"] == "Pay."
    assert_nothing_left(kit, client)


def test_an_edge_without_a_snapshot_says_that_it_is_not_ready() -> None:
    async def main() -> None:
        kit = EdgeKit()
        client = Client(kit)
        client.send(upgrade(PATH))

        status, headers, body = client.answer()

        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(body)["code"] == "REPLICA_NOT_READY"

    run_virtual(main())


@virtual
async def test_a_draining_edge_takes_no_new_streams_and_keeps_the_open_ones(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    kit.plane.is_draining = True

    late = Client(kit)
    late.send(upgrade(PATH))

    assert late.answer()[0] == 503
    assert "retry-after" in late.answer()[1]
    side.send(Kind.TEXT, b"still here")
    assert client.frames() == [(True, 1, b"still here")]


def test_a_deployment_that_allows_compression_negotiates_it() -> None:
    async def main() -> None:
        request = upgrade(PATH, add=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        kit = kit_with(control_pb2.StreamSettings(compression=True, ping_interval=duration(0)))
        client, side = await opened(kit, request)
        assert client.answer()[1]["sec-websocket-extensions"].startswith("permessage-deflate")
        client.frame(1, b"not compressed, and read all the same")
        kit.runners["r1"].pump()
        assert side.segments == [(Kind.TEXT, b"not compressed, and read all the same")]
        side.send(Kind.TEXT, b"a" * 10_000)
        ((_, opcode, data),) = client.frames()
        assert opcode == 1 and len(data) < 100

        plain, _ = await opened(kit_with(), request)
        assert "sec-websocket-extensions" not in plain.answer()[1]

    run_virtual(main())


@virtual
async def test_claimed_routes_and_hosts_lead_to_the_model(kit: EdgeKit) -> None:
    await opened(kit, upgrade("/ws"))
    await opened(kit, upgrade("/websocket", replace={"Host": "model-echo.example.com:8000"}))
