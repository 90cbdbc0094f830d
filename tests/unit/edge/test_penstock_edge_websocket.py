from __future__ import annotations

import asyncio

import pytest
import structlog

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import WINDOW_BYTES
from penstock_edge.tcp import TcpState
from penstock_edge.websocket import CLOSE_TIMEOUT_S, FAREWELL_S, STUCK_LOOKS_MAX
from penstock_testing.edge_connection import (
    PATH,
    Client,
    assert_nothing_left,
    close,
    frame,
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
async def test_messages_pass_both_ways(kit: EdgeKit) -> None:
    client, side = await opened(kit)

    client.frame(1, b"hello")
    client.frame(2, b"\xff")
    client.frame(2, b"")
    await settle()
    kit.runners["r1"].pump()
    assert side.take() == [(Kind.TEXT, b"hello"), (Kind.BINARY, b"\xff"), (Kind.BINARY, b"")]

    side.send(Kind.TEXT, b"back")
    side.send(Kind.BINARY, b"")
    assert client.frames() == [(True, 1, b"back"), (True, 2, b"")]


@virtual
async def test_a_stop_ends_streams_in_every_state(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    waiting = Client(kit)
    waiting.send(upgrade(PATH))

    for each in (client, waiting):
        each.protocol.shutdown()
        each.protocol.shutdown()
    await settle()
    kit.runners["r1"].pump()

    assert client.close_frame() == (1012, "Edge is stopping; connect again.")
    assert waiting.answer()[0] == 503
    assert side.closing is not None and side.closing.code is EndCode.EDGE_DRAINING
    client.send(close(1012))
    await settle()
    for stream in kit.runners["r1"].streams:
        stream.close()
    assert_nothing_left(kit, client, waiting)


@virtual
async def test_close_of_the_client_reaches_the_model_behind_its_messages(kit: EdgeKit) -> None:
    client, side = await opened(kit)

    client.send(frame(1, b"last") + close(3001, "done"))
    await settle()
    kit.runners["r1"].pump()

    assert client.close_frame() == (3001, "done")
    assert client.transport.is_closed
    assert side.segments == [(Kind.TEXT, b"last")]
    assert side.closing is not None
    assert (side.closing.code, side.closing.close_code, side.closing.reason) == (EndCode.CLIENT_CLOSED, 3001, "done")
    assert kit.active("r1") == 1, "the handler still runs"
    side.close()
    assert_nothing_left(kit, client)


@virtual
async def test_close_without_a_code_is_told_as_1005(kit: EdgeKit) -> None:
    client, side = await opened(kit)

    client.frame(8)
    await settle()
    kit.runners["r1"].pump()

    assert client.frames() == [(True, 8, b"")]
    assert side.closing is not None and side.closing.close_code == 1005


@virtual
async def test_close_of_the_model_reaches_the_client_behind_its_messages(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    side.stream.send(Kind.TEXT, b"last")

    side.close(EndCode.MODEL_CLOSED, 4444, "wörds")

    assert client.frames()[0] == (True, 1, b"last")
    assert client.close_frame() == (4444, "wörds")
    client.send(frame(1, b"ignored") + frame(9, b"p") + close(4444))
    await settle()
    assert client.transport.is_closed
    assert side.segments == []
    assert_nothing_left(kit, client)


@virtual
async def test_a_client_that_does_not_answer_a_close_is_dropped(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    side.close()
    assert client.close_frame() == (1000, "")

    await pass_time(kit, CLOSE_TIMEOUT_S - 0.1)
    assert not client.transport.is_closed
    await pass_time(kit, 0.2)

    assert client.transport.is_closed
    assert_nothing_left(kit, client)


@virtual
async def test_a_client_that_vanishes_is_told_to_the_model_at_once(kit: EdgeKit) -> None:
    client, side = await opened(kit)

    client.lose()
    kit.runners["r1"].pump()

    assert side.closing is not None
    assert (side.closing.code, side.closing.close_code) == (EndCode.CLIENT_GONE, 1006)
    assert kit.plane.active_streams == 0
    assert kit.active("r1") == 1
    side.send(Kind.TEXT, b"nobody hears this")
    side.close()
    assert_nothing_left(kit, client)


@virtual
async def test_a_lost_trunk_ends_its_streams_with_1014(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    side.send(Kind.TEXT, b"before")

    runner = kit.runners["r1"]
    runner.lose()

    assert client.frames()[0] == (True, 1, b"before")
    assert client.close_frame() == (1014, "Replica was lost; connect again.")
    client.send(close(1014))
    await settle()
    assert kit.plane.active_streams == 0
    assert kit.active("r1") == 0


@pytest.mark.parametrize(
    ("data", "code", "end_code"),
    [
        (b"\x82\x01x", 1002, EndCode.PROTOCOL_ERROR),
        (frame(3), 1002, EndCode.PROTOCOL_ERROR),
        (frame(0, b"x"), 1002, EndCode.PROTOCOL_ERROR),
        (frame(1, b"\xff"), 1007, EndCode.BAD_UTF8),
        (frame(2, bytes(1000_001)), 1009, EndCode.MESSAGE_TOO_BIG),
        (frame(8, b"\x03"), 1002, EndCode.PROTOCOL_ERROR),
        (close(1005), 1002, EndCode.PROTOCOL_ERROR),
        (close(999), 1002, EndCode.PROTOCOL_ERROR),
        (frame(8, b"\x03\xe8\xff"), 1007, EndCode.BAD_UTF8),
    ],
)
def test_bad_data_is_answered_with_its_close_code(data: bytes, code: int, end_code: EndCode) -> None:
    async def main() -> None:
        kit = kit_with()
        client, side = await opened(kit)
        with structlog.testing.capture_logs() as logs:
            client.send(frame(1, b"good") + data + frame(1, b"after"))
            client.send(frame(1, b"after"))
            await settle()
            kit.runners["r1"].pump()
            side.close()

            closed = client.close_frame()
            assert closed is not None and closed[0] == code
            assert client.transport.has_eof, "it is half-closed, so that the client can read the close frame"
            assert side.segments == [(Kind.TEXT, b"good")]
            assert side.closing is not None and side.closing.code is end_code
            client.lose()
        (ended,) = [entry for entry in logs if entry["event"] == "stream_ended"]
        assert (ended["code"], ended["close_code"]) == (end_code, code)
        assert_nothing_left(kit, client)

    run_virtual(main())


@virtual
async def test_pings_are_answered_by_the_edge(kit: EdgeKit) -> None:
    client, side = await opened(kit)

    client.frame(9, b"are you there")
    client.frame(10, b"unasked")
    kit.runners["r1"].pump()

    assert client.frames() == [(True, 10, b"are you there")]
    assert side.segments == []


@virtual
async def test_pongs_to_a_client_that_reads_nothing_do_not_pile_up(kit: EdgeKit) -> None:
    client, _ = await opened(kit)
    client.protocol.pause_writing()

    client.frame(9, b"x" * 125)
    assert client.transport.is_reading_paused

    client.protocol.resume_writing()
    assert not client.transport.is_reading_paused


@virtual
async def test_a_slow_client_that_sends_data_is_still_read(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    client.protocol.pause_writing()

    client.frame(1, b"x")
    kit.runners["r1"].pump()

    assert not client.transport.is_reading_paused
    assert side.segments == [(Kind.TEXT, b"x")]


@virtual
async def test_a_slow_model_stops_the_reading_of_its_client_only(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    other, other_side = await opened(kit)
    while not client.transport.is_reading_paused:
        client.frame(2, bytes(60_000))
        kit.runners["r1"].pump()
    assert sum(len(data) for _, data in side.segments) <= WINDOW_BYTES

    other.frame(1, b"free")
    kit.runners["r1"].pump()
    assert other_side.segments == [(Kind.TEXT, b"free")]

    side.take()
    assert not client.transport.is_reading_paused


@virtual
async def test_a_slow_client_holds_back_the_credit_of_its_model_only(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    other, other_side = await opened(kit)
    client.protocol.pause_writing()

    sent = 0
    while side.send(Kind.BINARY, bytes(10_000)):
        sent += 10_000
        assert sent <= WINDOW_BYTES
    assert len(client.transport.written) <= WINDOW_BYTES + 10_000
    for _ in range(200):
        assert other_side.send(Kind.BINARY, bytes(10_000))
    assert len(other.frames()) == 200

    client.protocol.resume_writing()
    kit.runners["r1"].pump()

    assert not side.stream.is_blocked
    assert side.send(Kind.BINARY, bytes(10_000))


@virtual
async def test_credit_comes_back_whole_after_many_messages(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    for size in (0, 1, 1000, 100_000, 300_000) * 20:
        client.frame(2, bytes(size))
        kit.runners["r1"].pump()
        side.take()
        assert side.send(Kind.BINARY, bytes(size)) or not side.stream.is_blocked
        client.transport.written.clear()

    edge_stream = next(iter(kit.runners["r1"].edge.streams.values()))
    for stream in (side.stream, edge_stream):
        assert not stream.is_blocked
        assert stream.send_credit + WINDOW_BYTES // 4 >= WINDOW_BYTES


@virtual
async def test_messages_and_bytes_are_counted_as_the_client_sees_them(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    client.send(frame(1, b"a", fin=False) + frame(0, b"b", fin=False) + frame(0, b"c") + frame(2, b"d"))
    kit.runners["r1"].pump()
    side.send(Kind.BINARY, bytes(600_000))
    side.take()
    assert not side.stream.is_blocked

    with structlog.testing.capture_logs() as logs:
        client.lose()

    (ended,) = logs
    assert (ended["messages_in"], ended["messages_out"]) == (2, 1)
    assert ended["bytes_out"] == 600_000


def test_a_silent_client_is_pinged_and_dropped() -> None:
    async def main() -> None:
        kit = kit_with(control_pb2.StreamSettings(ping_interval=duration(20), ping_timeout=duration(20)))
        client, side = await opened(kit)

        await pass_time(kit, 21)
        assert client.frames() == [(True, 9, b"")]
        client.frame(10)
        await pass_time(kit, 22)
        assert client.close_frame() is None
        await pass_time(kit, 40)

        assert client.close_frame() == (1011, "keepalive ping timeout")
        kit.runners["r1"].pump()
        assert side.closing is not None and side.closing.code is EndCode.PING_TIMEOUT

    run_virtual(main())


@pytest.mark.parametrize(
    ("settings", "closed"),
    [
        (control_pb2.StreamSettings(idle_timeout=duration(60)), (1001, "Idle for too long.")),
        (
            control_pb2.StreamSettings(stream_age_max=duration(60), ping_interval=duration(0)),
            (1012, "Stream has reached its greatest age; connect again."),
        ),
    ],
)
def test_idle_and_old_streams_are_ended(settings: control_pb2.StreamSettings, closed: tuple[int, str]) -> None:
    async def main() -> None:
        kit = kit_with(settings)
        client, _ = await opened(kit)
        for _ in range(3):
            await pass_time(kit, 19)
            client.frame(10)
        assert client.close_frame() is None

        await pass_time(kit, 10)

        assert client.close_frame() == closed

    run_virtual(main())


def test_no_timer_is_left_after_a_stream() -> None:
    async def main() -> None:
        kit = kit_with(control_pb2.StreamSettings())
        client, side = await opened(kit)
        client.send(close(1000))
        await settle()
        kit.runners["r1"].pump()
        side.close()
        await settle()
        assert_nothing_left(kit, client)
        loop = asyncio.get_running_loop()
        scheduled = [handle for handle in vars(loop)["_scheduled"] if not handle.cancelled()]
        assert scheduled == []

    run_virtual(main())


@virtual
async def test_a_model_that_takes_nothing_is_told_of_a_close_behind_what_it_does_not_take(kit: EdgeKit) -> None:
    """Else its slot would never come back: the close waits behind data that waits for credit."""
    client, side = await opened(kit)
    burst = frame(2, bytes(60_000)) * 12
    client.send(burst + close(1000, "done"))
    kit.runners["r1"].pump()
    assert client.close_frame() == (1000, "done")
    client.lose()
    kit.runners["r1"].pump()
    assert side.closing is None

    await pass_time(kit, FAREWELL_S + 0.1)
    kit.runners["r1"].pump()
    assert side.closing == (EndCode.CLIENT_CLOSED, 1000, "done")

    side.close()
    assert_nothing_left(kit, client)


@virtual
async def test_a_model_that_is_only_slow_gets_everything_before_the_close(kit: EdgeKit) -> None:
    client, side = await opened(kit)
    client.send(frame(2, bytes(60_000)) * 12 + close(1000))
    kit.runners["r1"].pump()
    client.lose()

    taken = side.take()
    kit.runners["r1"].pump()
    taken += side.take()
    assert sum(len(data) for _, data in taken) == 12 * 60_000
    assert side.closing == (EndCode.CLIENT_CLOSED, 1000, "")


@pytest.mark.parametrize(("state", "looks"), [(TcpState.CLOSED, 1), (TcpState.CLOSE_WAIT, STUCK_LOOKS_MAX)])
def test_a_client_that_leaves_while_its_socket_is_not_read_is_noticed(state: TcpState, looks: int) -> None:
    async def main() -> None:
        kit = kit_with(control_pb2.StreamSettings(ping_interval=duration(20)))
        client, side = await opened(kit)
        client.send(frame(2, bytes(60_000)) * 12)
        kit.runners["r1"].pump()
        assert client.transport.is_reading_paused

        client.transport.tcp_state = TcpState.ESTABLISHED
        await pass_time(kit, 200)
        assert not client.transport.is_closed

        client.transport.tcp_state = state
        await pass_time(kit, 20 * looks + 1)
        kit.runners["r1"].pump()
        assert client.transport.is_closed
        assert side.closing == (EndCode.CLIENT_GONE, 1006, "")

    run_virtual(main())


def test_a_client_that_has_sent_its_last_byte_is_kept_while_the_model_takes_something() -> None:
    async def main() -> None:
        kit = kit_with(control_pb2.StreamSettings(ping_interval=duration(20)))
        client, side = await opened(kit)
        client.transport.tcp_state = TcpState.CLOSE_WAIT
        for _ in range(4):
            while not client.transport.is_reading_paused:
                client.frame(2, bytes(60_000))
                kit.runners["r1"].pump()
            await pass_time(kit, 40)
            assert not client.transport.is_closed
            side.take()

    run_virtual(main())
