from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from typing import cast

import pytest
import structlog
from penstock.api.common.v1 import common_pb2
from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import WINDOW_BYTES
from penstock_edge.websocket import CLOSE_TIMEOUT_S, EARLY_BYTES_MAX, EdgeWebSocket

from penstock_testing.edge_kit import EdgeKit, ModelSide, duration
from penstock_testing.raw_websocket import upgrade
from penstock_testing.virtual_time import run_virtual

NO_PINGS = control_pb2.StreamSettings(ping_interval=duration(0), message_bytes_max=1000_000)
PATH = "/model/echo/websocket"
Frame = tuple[bool, int, bytes]


class Transport(asyncio.Transport):
    """A socket in memory that keeps what is written."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self.written = bytearray()
        self.is_reading_paused = False
        self.has_eof = False
        self.is_closed = False
        self.protocol: EdgeWebSocket | None = None

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("10.0.0.1", 999) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.has_eof, "written after the end"
        if not self.is_closed:
            self.written += data

    def writelines(self, list_of_data: object) -> None:
        for data in cast(list[bytes], list_of_data):
            self.write(data)

    def pause_reading(self) -> None:
        assert not self.is_reading_paused
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        assert self.is_reading_paused
        self.is_reading_paused = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            assert self.protocol is not None
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class ServerState:
    def __init__(self) -> None:
        self.connections: set[object] = set()


class Client:
    """One connection to the edge, driven by hand."""

    def __init__(self, kit: EdgeKit, state: ServerState | None = None) -> None:
        self.kit = kit
        self.state = state or ServerState()
        self.protocol = EdgeWebSocket(kit.plane, self.state)
        self.transport = Transport(kit.plane.loop)
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def frame(self, opcode: int, data: bytes = b"", *, fin: bool = True) -> None:
        self.send(frame(opcode, data, fin=fin))

    def lose(self) -> None:
        """The connection breaks."""
        if not self.transport.is_closed:
            self.transport.is_closed = True
            self.protocol.connection_lost(ConnectionResetError())

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        head, _, body = bytes(self.transport.written).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body

    def frames(self) -> list[Frame]:
        """The frames that have come since the answer to the upgrade."""
        data = bytes(self.transport.written).partition(b"\r\n\r\n")[2]
        found = []
        while data:
            head, size = data[0], data[1]
            start = 2
            if size == 126:
                size, start = struct.unpack("!H", data[2:4])[0], 4
            elif size == 127:
                size, start = struct.unpack("!Q", data[2:10])[0], 10
            found.append((bool(head & 0x80), head & 0x0F, data[start : start + size]))
            data = data[start + size :]
        return found

    def close_frame(self) -> tuple[int, str] | None:
        frames = self.frames()
        if not frames or frames[-1][1] != 8:
            return None
        payload = frames[-1][2]
        return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(data))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(data))
    return head + bytes(4) + data


def close(code: int, reason: str = "") -> bytes:
    return frame(8, struct.pack("!H", code) + reason.encode())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def pass_time(kit: EdgeKit, seconds: float) -> None:
    reached = asyncio.Event()
    kit.plane.loop.call_later(seconds, reached.set)
    await reached.wait()


def kit_with(settings: control_pb2.StreamSettings = NO_PINGS) -> EdgeKit:
    kit = EdgeKit()
    kit.apply(("r1", 0, 10), settings=settings, routes=("/ws",))
    return kit


async def opened(kit: EdgeKit, request: bytes = upgrade(PATH), **accept: object) -> tuple[Client, ModelSide]:
    client = Client(kit)
    client.send(request)
    await settle()
    side = kit.runners["r1"].streams[-1]
    side.accept(**accept)
    assert client.answer()[0] == 101
    return client, side


def virtual(test: Callable[[EdgeKit], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test(kit_with())

        run_virtual(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def assert_nothing_left(kit: EdgeKit, *clients: Client) -> None:
    kit.runners["r1"].pump()
    assert kit.plane.active_streams == 0
    assert kit.active("r1") == 0
    assert kit.runners["r1"].edge.streams == {}
    assert kit.runners["r1"].side.streams == {}
    for client in clients:
        assert client.state.connections == set()
    text = kit.plane.metrics.render().decode()
    for line in text.splitlines():
        if line.startswith("baseten_ongoing_websocket_connections{"):
            assert line.endswith(" 0.0")


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
async def test_the_runner_is_told_everything_before_the_upgrade_is_answered(kit: EdgeKit) -> None:
    client = Client(kit)
    client.send(upgrade(PATH + "?a=1", add=[("X-A", "1"), ("Authorization", "secret"), ("Sec-WebSocket-Protocol", "p")]))
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
        (upgrade("/model/echo/predict"), 501, "NOT_WEBSOCKET"),
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
