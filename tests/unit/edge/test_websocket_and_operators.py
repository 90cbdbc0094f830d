from __future__ import annotations

import structlog

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.websocket import CLOSE_TIMEOUT_S
from penstock_testing.client_streams import end_streams, list_streams
from penstock_testing.edge_connection import (
    PATH,
    Client,
    assert_nothing_left,
    close,
    kit_with,
    opened,
    pass_time,
    settle,
    virtual,
)
from penstock_testing.edge_kit import EdgeKit, duration
from penstock_testing.raw_websocket import upgrade
from penstock_testing.virtual_time import run_virtual


@virtual
async def test_an_operator_ends_a_stream_with_a_code_and_a_reason(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    other, other_side = await opened(kit)
    side.send(Kind.TEXT, b"before")
    client.frame(1, b"last")
    ids = [side.request.stream_id, "elsewhere"]

    with structlog.testing.capture_logs() as logs:
        told = await end_streams(kit.plane.open_streams, ids, 4002, "moved")
        again = await end_streams(kit.plane.open_streams, ids)
        kit.runners["r1"].pump()

        assert told == [side.request.stream_id]
        assert again == [], "its end has begun"
        assert client.frames()[0] == (True, 1, b"before")
        assert client.close_frame() == (4002, "moved")
        assert side.segments == [(Kind.TEXT, b"last")]
        assert side.closing == (EndCode.OPERATOR_CLOSED, 4002, "moved")
        client.send(close(4002))
        await settle()

    ends = [(entry["code"], entry["close_code"]) for entry in logs if entry["event"] == "stream_ended"]
    assert ends == [("OPERATOR_CLOSED", 4002)]
    assert other.close_frame() is None and other_side.closing is None
    side.close()
    other.lose()
    kit.runners["r1"].pump()
    other_side.close()
    assert_nothing_left(kit, client, other)


@virtual
async def test_a_client_that_reads_nothing_is_dropped_when_an_operator_ends_its_stream(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    client.protocol.pause_writing()
    assert await end_streams(kit.plane.open_streams, [side.request.stream_id])
    kit.runners["r1"].pump()
    assert side.closing is not None and side.closing.code is EndCode.OPERATOR_CLOSED
    assert kit.plane.active_streams == 1

    await pass_time(kit, CLOSE_TIMEOUT_S + 0.1)

    assert client.transport.is_closed
    side.close()
    assert_nothing_left(kit, client)


def test_an_open_stream_is_listed_with_what_it_is_and_has_done() -> None:
    async def main() -> None:
        kit = kit_with(control_pb2.StreamSettings(ping_interval=duration(20)))
        waiting = Client(kit)
        waiting.send(upgrade(PATH))
        client, side = await opened(kit)
        kit.runners["r1"].streams[0].reject("NOT_WEBSOCKET")
        await pass_time(kit, 3)
        client.frame(1, b"hello")
        side.send(Kind.BINARY, bytes(300_000))
        await pass_time(kit, 5)

        answer = await list_streams(kit.plane.open_streams)
        await pass_time(kit, 7)
        later = await list_streams(kit.plane.open_streams)

        (view,) = answer.streams
        assert (view.stream_id, view.deployment_id, view.replica_id) == (side.request.stream_id, "echo-1", "r1")
        assert (view.transport, view.client, view.edge_id) == ("websocket", "10.0.0.1:999", "edge-test")
        assert round(view.age.ToMilliseconds(), -1) == 8_000
        assert (view.bytes_in, view.messages_in, view.messages_out) == (5, 1, 1)
        assert view.bytes_out >= 300_000
        assert view.silent_for.ToMilliseconds() == 0, "there was a message since the last look"
        assert round(later.streams[0].silent_for.ToMilliseconds(), -1) == 7_000

        client.lose()
        assert (await list_streams(kit.plane.open_streams)).matching == 0

    run_virtual(main())


@virtual
async def test_the_client_of_a_unix_socket_has_no_address(kit: EdgeKit) -> None:
    client, _ = await opened(kit)
    client.transport.peer = ""
    assert client.connection.client_address() == ""

    client.transport.peer = ("::1", 80, 0, 0)
    assert client.connection.client_address() == "[::1]:80"
