from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.message_requests import MessageRequests
from penstock_edge.message_socket import CLOSE_TIMEOUT_S, LOOK_S, READ_AHEAD_PARTS_MAX
from penstock_edge.request_call import BODY_SILENCE_S
from penstock_edge.tcp import TcpState
from penstock_testing.edge_connection import NO_PINGS, Client, close, frame, pass_time
from penstock_testing.edge_kit import duration
from penstock_testing.raw_websocket import upgrade
from penstock_testing.request_kit import RequestKit, answer, response, settle
from penstock_testing.virtual_time import run_virtual

PATH = "/model/echo/predict"
END = (True, 1, b'{"penstock": "end"}')


def connected(kit: RequestKit, request: bytes = upgrade(PATH)) -> Client:
    client = Client(kit)
    client.send(request)
    assert client.answer()[0] == 101
    assert isinstance(client.protocol, MessageRequests)
    return client


Scenario = Callable[[RequestKit, Client], Awaitable[None]]


def played(scenario: Scenario, settings: control_pb2.StreamSettings = NO_PINGS) -> None:
    async def main() -> None:
        kit = RequestKit(settings=settings)
        client = connected(kit)
        await scenario(kit, client)
        await settle()
        client.lose()
        await settle()
        for runner in kit.runners.values():
            runner.pump()
            for side in list(runner.streams):
                if side.closing is not None and side.stream in runner.side.streams.values():
                    side.close()
        kit.assert_nothing_left()
        assert client.state.connections == set()

    run_virtual(main())


def errors(client: Client) -> list[object]:
    return [json.loads(data) for _, opcode, data in client.frames() if opcode == 1]


def test_the_upgrade_takes_no_slot_and_each_message_one() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        await settle()
        assert not kit.runners["r1"].streams and kit.plane.active_streams == 0
        client.frame(1, b'{"a": 1}')
        side = await kit.accepted()
        assert (side.request.body, side.request.model_path) == (b'{"a": 1}', b"/v1/models/model:predict")
        assert ("content-type", b"application/json") in [(h.name, h.value) for h in side.request.headers]
        answer(side, b'{"b": 2}')
        await settle()
        assert client.frames() == [(True, 1, b'{"b": 2}')]
        assert kit.plane.active_streams == 0

    played(scenario)


def test_messages_are_served_one_at_a_time_in_order() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        for number in range(3):
            client.frame(2, bytes([number]))
        for number in range(3):
            side = await kit.accepted(number)
            assert side.request.body == bytes([number])
            assert len(kit.runners["r1"].streams) == number + 1
            answer(side, b"%d" % number)
        await settle()
        assert [data for _, _, data in client.frames()] == [b"0", b"1", b"2"]

    played(scenario)


def test_items_are_messages_and_a_marker_ends_them() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        side = await kit.accepted()
        binary = (("content-type", "application/octet-stream"),)
        side.send(Kind.BINARY, response(200, b"one", headers=binary, more=True))
        await settle()
        assert client.frames() == [(True, 2, b"one")], "at once"
        side.send(Kind.BINARY, b"two")
        side.send(Kind.BINARY, bytes(300_000))
        side.close()
        await settle()
        frames = client.frames()
        assert frames[1] == (True, 2, b"two")
        assert [(fin, opcode) for fin, opcode, _ in frames[2:-1]] == [(False, 2), (True, 0)]
        assert sum(len(data) for _, _, data in frames[2:-1]) == 300_000
        assert frames[-1] == END

    played(scenario)


def test_a_long_plain_result_is_one_message_in_frames() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        side = await kit.accepted()
        headers = (("content-type", "application/json"), ("content-length", "300000"))
        side.send(Kind.BINARY, response(200, headers=headers, more=True))
        side.send(Kind.BINARY, b"x" * 300_000)
        side.close()
        await settle()
        frames = client.frames()
        assert [opcode for _, opcode, _ in frames] == [1] + [0] * (len(frames) - 1)
        assert [fin for fin, _, _ in frames] == [False] * (len(frames) - 1) + [True]
        assert b"".join(data for _, _, data in frames) == b"x" * 300_000

    played(scenario)


@pytest.mark.parametrize("lost", [True, False])
def test_a_reply_that_is_cut_inside_of_a_message_ends_the_connection(lost: bool) -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        side = await kit.accepted()
        headers = (("content-type", "application/json"), ("content-length", "300000"))
        side.send(Kind.BINARY, response(200, headers=headers, more=True))
        side.send(Kind.BINARY, b"x" * 1000 if lost else b"x" * 1000 + b"\xff")
        await settle()
        if lost:
            kit.runners["r1"].lose()
        else:
            side.send(Kind.BINARY, b"\xff")
            side.close()
        await settle()
        assert client.close_frame() is not None

    played(scenario)


def test_a_stream_that_is_cut_between_items_ends_with_an_error_message() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        side = await kit.accepted()
        side.send(Kind.BINARY, response(200, b"one", headers=(), more=True))
        await settle()
        kit.runners["r1"].lose()
        await settle()
        (error,) = errors(client)
        assert isinstance(error, dict)
        assert (error["status"], error["code"], error["retryable"]) == (503, "REPLICA_LOST", True)
        client.frame(1, b"{}")
        answer(await kit.accepted(), b"1")
        await settle()
        assert client.frames()[-1] == (True, 1, b"1"), "the connection stays"

    played(scenario)


def test_no_slot_is_an_error_message() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        kit.apply(settings=NO_PINGS)
        client.frame(1, b"{}")
        await pass_time(kit, 31)
        (error,) = errors(client)
        assert isinstance(error, dict)
        assert (error["status"], error["code"], error["retryable"]) == (504, "QUEUE_TIMEOUT", True)

    played(scenario)


def test_a_long_message_is_passed_on_while_it_comes() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"one", fin=False)
        side = await kit.accepted()
        assert (side.request.body, side.request.body_follows) == (b"one", True)
        client.frame(0, b"", fin=False)
        client.frame(0, b"two", fin=False)
        client.frame(0, b"three")
        client.frame(1, b"next")
        await settle()
        kit.runners["r1"].pump()
        assert [data for _, data in side.take()] == [b"two", b"three", b""]
        answer(side, b"1")
        second = await kit.accepted(1)
        assert second.request.body == b"next"
        answer(second, b"2")

    played(scenario)


def test_what_is_left_of_a_message_that_was_answered_early_is_dropped() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"one", fin=False)
        answer(await kit.accepted(), b"no", 400)
        await settle()
        assert errors(client) == [{"error": "no", "status": 400}]
        client.frame(0, b"two", fin=False)
        client.frame(0, b"three")
        client.frame(1, b"next")
        side = await kit.accepted(1)
        assert side.request.body == b"next"
        answer(side, b"1")

    played(scenario)


def test_a_message_that_stops_in_its_middle_gives_its_slot_back() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"one", fin=False)
        side = await kit.accepted()
        await pass_time(kit, BODY_SILENCE_S + 1)
        (error,) = errors(client)
        assert isinstance(error, dict) and error["status"] == 408
        kit.runners["r1"].pump()
        assert side.closing is not None
        side.close()

    played(scenario)


def test_the_client_is_read_no_further_than_the_limit() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        for _ in range(READ_AHEAD_PARTS_MAX + 2):
            client.frame(1, b"{}")
        assert client.transport.is_reading_paused
        for number in range(READ_AHEAD_PARTS_MAX // 2 + 3):
            answer(await kit.accepted(number), b"1")
        await settle()
        assert not client.transport.is_reading_paused

    played(scenario)


def test_a_client_that_has_left_while_it_is_not_read_is_found_out() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        for _ in range(READ_AHEAD_PARTS_MAX + 2):
            client.frame(1, b"{}")
        side = await kit.accepted()
        client.transport.tcp_state = TcpState.CLOSE_WAIT
        await pass_time(kit, LOOK_S + 0.1)
        kit.runners["r1"].pump()
        assert client.transport.is_closed
        assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE
        side.close()

    played(scenario)


def test_a_slow_client_holds_its_model_up() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        side = await kit.accepted()
        client.protocol.pause_writing()
        side.send(Kind.BINARY, response(200, b"one", headers=(), more=True))
        while side.send(Kind.BINARY, bytes(100_000)):
            await settle()
        written = len(client.transport.written)
        await settle()
        assert len(client.transport.written) == written < 1000
        client.protocol.resume_writing()
        await settle()
        kit.runners["r1"].pump()
        assert len(client.transport.written) > 100_000
        side.close()

    played(scenario)


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_the_model_is_told_when_its_client_leaves(says_goodbye: bool) -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        client.frame(1, b"{}")
        side = await kit.accepted()
        if says_goodbye:
            client.send(close(4000, "bye"))
            assert client.close_frame() == (4000, "bye")
        else:
            client.lose()
        await settle()
        kit.runners["r1"].pump()
        assert side.closing is not None
        assert side.closing.code is (EndCode.CLIENT_CLOSED if says_goodbye else EndCode.CLIENT_GONE)
        side.close()
        await settle()
        assert len(kit.runners["r1"].streams) == 1, "what was not begun is dropped"

    played(scenario)


def test_a_client_that_waits_for_a_slot_and_leaves_stands_in_no_line() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        kit.apply(settings=NO_PINGS)
        client.frame(1, b"{}")
        await settle()
        assert kit.plane.waiting.has("echo-1")
        client.lose()
        await settle()
        assert not kit.plane.waiting.has("echo-1")

    played(scenario)


def test_a_draining_edge_finishes_the_request_and_closes() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        client.frame(1, b"{}")
        side = await kit.accepted()
        kit.plane.is_draining = True
        answer(side, b"1")
        await settle()
        assert client.frames()[0] == (True, 1, b"1")
        assert client.close_frame() is not None and client.close_frame()[0] == 1012  # type: ignore[index]  # not None
        assert len(kit.runners["r1"].streams) == 1

    played(scenario)


def test_a_stopping_edge_closes_idle_connections() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        protocol = client.protocol
        assert isinstance(protocol, MessageRequests)
        protocol.shutdown()
        assert client.close_frame() is not None
        await pass_time(kit, CLOSE_TIMEOUT_S + 0.1)
        assert client.transport.is_closed

    played(scenario)


def test_an_idle_connection_is_closed_but_not_one_that_waits_for_its_reply() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.frame(1, b"{}")
        side = await kit.accepted()
        await pass_time(kit, 50)
        assert client.close_frame() is None
        answer(side, b"1")
        await settle()
        await pass_time(kit, 25)
        assert client.close_frame() is not None

    played(scenario, control_pb2.StreamSettings(ping_interval=duration(0), idle_timeout=duration(10)))


def test_a_client_that_answers_no_ping_is_given_up() -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        await pass_time(kit, 25)
        assert client.frames() == [(True, 9, b"")]
        await pass_time(kit, 20)
        assert client.close_frame() is not None

    played(scenario, control_pb2.StreamSettings())


@pytest.mark.parametrize(
    ("data", "code"),
    [(frame(1, b"\xff"), 1007), (frame(0, b"x"), 1002), (frame(2, bytes(1000_001)), 1009), (b"\xf1\x80", 1002)],
)
def test_a_client_that_breaks_the_protocol_is_closed(data: bytes, code: int) -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        client.send(data)
        assert client.close_frame() is not None and client.close_frame()[0] == code  # type: ignore[index]  # not None

    played(scenario)


def test_compressed_messages_pass_both_ways() -> None:
    async def main() -> None:
        kit = RequestKit(settings=control_pb2.StreamSettings(ping_interval=duration(0), compression=True))
        client = connected(kit, upgrade(PATH, add=[("Sec-WebSocket-Extensions", "permessage-deflate")]))
        client.frame(1, b"plain frames are allowed")
        side = await kit.accepted()
        assert side.request.body == b"plain frames are allowed"
        answer(side, b"1" * 1000)
        await settle()
        assert len(client.transport.written) < 600, "the reply is compressed"
        client.lose()

    run_virtual(main())


@pytest.mark.parametrize("waits_for", ["room", "the rest of a message"])
def test_no_task_outlives_its_client(waits_for: str) -> None:
    async def scenario(kit: RequestKit, client: Client) -> None:
        connection = client.protocol
        assert isinstance(connection, MessageRequests)
        client.frame(1, b"{}", fin=waits_for == "room")
        side = await kit.accepted()
        if waits_for == "room":
            connection.pause_writing()
        answer(side, b"1")
        await settle()
        assert connection.is_busy
        client.lose()
        await settle()
        assert not connection.is_busy

    played(scenario)
