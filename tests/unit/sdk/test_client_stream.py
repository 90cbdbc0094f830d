"""Streams of the client behave the same over WebSocket and over gRPC; against real servers of both."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import ConnectionClosed

from penstock import (
    CapacityError,
    Client,
    EndCode,
    NotFoundError,
    PenstockError,
    Stream,
    StreamClosedError,
    UpstreamError,
)
from penstock_testing.fake_edge import Conversation, FakeEdge, Model, Refusal, closing_with, echo, fake_edge

Scenario = Callable[[Client, FakeEdge], Awaitable[None]]

TRANSPORTS = ["websocket", "grpc"]


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def play(transport: str, scenario: Scenario, models: dict[str, Model | Refusal], **options: float) -> None:
    """Runs `scenario` with a client of a fake edge; fails when a task is left behind."""

    async def run() -> None:
        async with fake_edge(models) as edge, connected(edge, transport, **options) as client:
            await scenario(client, edge)

    asyncio.run(run())


@asynccontextmanager
async def connected(edge: FakeEdge, transport: str, **options: float) -> AsyncIterator[Client]:
    before = asyncio.all_tasks()
    url = edge.websocket_url if transport == "websocket" else edge.grpc_url
    async with Client(url, **options) as client:  # type: ignore[arg-type]  # every option is a number
        yield client
    left = {task for task in asyncio.all_tasks() - before if "penstock-" in task.get_name()}
    assert left == set()


def how_ended(stream: Stream) -> tuple[int | None, str | None]:
    return stream.close_code, stream.close_reason


async def collect(stream: Stream, received: list[str | bytes]) -> None:
    """Appends one by one: the error at the end would lose what a comprehension has gathered."""
    async for message in stream:
        received.append(message)  # noqa: PERF401  # as above


def test_messages_come_back_whole_in_order_and_of_their_kind(transport: str) -> None:
    sent: list[str | bytes] = ["text", b"binary", "", b"", "ünï ☃", b"\x00\xff" * 100_000, "x" * 300_000]

    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            for message in sent:
                await stream.send(message)

            assert [await stream.recv() for _ in sent] == sent

    play(transport, scenario, {"echo": echo})


@pytest.mark.parametrize("message", [bytearray(b"abc"), memoryview(b"abc")])
def test_anything_like_bytes_is_a_binary_message(transport: str, message: bytearray | memoryview) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            await stream.send(message)

            assert await stream.recv() == b"abc"

    play(transport, scenario, {"echo": echo})


@pytest.mark.parametrize("message", [1, None, ["a"], {"a": 1}])
def test_anything_else_is_refused_and_leaves_the_stream_alone(transport: str, message: object) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            with pytest.raises(TypeError, match="a message is str or bytes"):
                await stream.send(message)  # type: ignore[arg-type]  # what the test is about
            await stream.send("still here")

            assert await stream.recv() == "still here"

    play(transport, scenario, {"echo": echo})


def test_text_that_has_no_utf8_is_refused_and_leaves_the_stream_alone(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            with pytest.raises(UnicodeEncodeError):
                await stream.send("\ud800")
            await stream.send("still here")

            assert await stream.recv() == "still here"

    play(transport, scenario, {"echo": echo})


def test_a_normal_end_ends_iteration_and_tells_the_code(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("bye") as stream:
            assert how_ended(stream) == (None, None)
            received = [message async for message in stream]

            assert received == ["last words"]
            assert how_ended(stream) == (1000, "so long")
            with pytest.raises(StreamClosedError) as caught:
                await stream.recv()
            assert (caught.value.close_code, caught.value.reason) == (1000, "so long")
            with pytest.raises(StreamClosedError):
                await stream.send("too late")

    play(transport, scenario, {"bye": closing_with(EndCode.MODEL_CLOSED, 1000, "so long")})


def test_a_model_that_returns_ends_the_stream_normally(transport: str) -> None:
    async def returns(conversation: Conversation) -> None:
        await conversation.send("done")

    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("returns") as stream:
            assert [message async for message in stream] == ["done"]
            assert stream.close_code == 1000

    play(transport, scenario, {"returns": returns})


@pytest.mark.parametrize(
    ("code", "close_code", "reason", "kind"),
    [
        (EndCode.MODEL_ERROR, 1011, "Internal Server Error (in model/chainlet).", UpstreamError),
        (EndCode.REPLICA_LOST, 1014, "Replica was lost; connect again.", UpstreamError),
        (EndCode.MODEL_CLOSED, 4001, "not today", StreamClosedError),
    ],
)
def test_an_abnormal_end_is_an_error_of_its_kind_after_the_last_message(
    transport: str, code: EndCode, close_code: int, reason: str, kind: type[PenstockError]
) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("fails") as stream:
            received: list[str | bytes] = []
            with pytest.raises(kind) as caught:
                await collect(stream, received)

            assert received == ["last words"]
            assert (caught.value.code, caught.value.close_code, caught.value.reason) == (code, close_code, reason)
            assert (stream.close_code, stream.close_reason) == (close_code, reason)

    play(transport, scenario, {"fails": closing_with(code, close_code, reason)})


@pytest.mark.parametrize(
    ("refusal", "kind", "retry_after"),
    [
        (Refusal(EndCode.NOT_FOUND), NotFoundError, None),
        (Refusal(EndCode.REPLICA_FULL, retry_after=3), CapacityError, 3.0),
        (Refusal(EndCode.QUEUE_TIMEOUT), CapacityError, None),
    ],
)
def test_a_refused_stream_is_a_typed_error_when_it_is_opened(
    transport: str, refusal: Refusal, kind: type[PenstockError], retry_after: float | None
) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        with pytest.raises(kind) as caught:
            async with client.stream("refused"):
                pytest.fail("the stream was opened")

        assert caught.value.code is refusal.code
        assert getattr(caught.value, "retry_after", "missing") == retry_after
        assert edge.arrivals == []

    play(transport, scenario, {"refused": refusal})


def test_a_cancelled_recv_loses_no_message(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            for number in range(200):
                waiting = asyncio.create_task(stream.recv())
                await asyncio.sleep(0)
                await stream.send(str(number))
                for _ in range(number % 17):
                    await asyncio.sleep(0)
                waiting.cancel()
                done, _ = await asyncio.wait({waiting})
                if not waiting.cancelled():
                    assert done.pop().result() == str(number)
                else:
                    assert await stream.recv() == str(number)

    play(transport, scenario, {"echo": echo})


def test_a_timeout_around_recv_leaves_the_stream_open(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await stream.recv()
            await stream.send("after")

            assert await stream.recv() == "after"

    play(transport, scenario, {"echo": echo})


def test_close_tells_the_model_and_ends_the_stream(transport: str) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()

    async def listens(conversation: Conversation) -> None:
        await told.put(await conversation.recv())

    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("listens") as stream:
            await stream.close(4000, "enough")

            assert (stream.close_code, stream.close_reason) == (4000, "enough")
            with pytest.raises(StreamClosedError):
                await stream.recv()
            with pytest.raises(StreamClosedError):
                await stream.send("x")
            assert [message async for message in stream] == []
            await stream.close()
            assert await told.get() is None

    play(transport, scenario, {"listens": listens})


def test_what_was_received_before_close_can_still_be_taken(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            for message in ("a", "b"):
                await stream.send(message)
            assert await stream.recv() == "a"
            assert await asyncio.wait_for(stream.recv(), 5) == "b"
            await stream.close()

            assert [message async for message in stream] == []

    play(transport, scenario, {"echo": echo})


@pytest.mark.parametrize("code", [0, 999, 1001, 1005, 1006, 1011, 2999, 5000])
def test_a_client_may_not_close_with_a_code_of_the_server(transport: str, code: int) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            with pytest.raises(ValueError, match="1000 or 3000 to 4999"):
                await stream.close(code)
            with pytest.raises(ValueError, match="at most 123 bytes"):
                await stream.close(1000, "ü" * 62)
            await stream.send("open")

            assert await stream.recv() == "open"

    play(transport, scenario, {"echo": echo})


def test_close_does_not_wait_for_a_model_that_floods(transport: str) -> None:
    """The client reads nothing, so that its buffers are full when it closes."""

    async def floods(conversation: Conversation) -> None:
        for _ in range(10_000):
            await conversation.send(b"x" * 10_000)

    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with asyncio.timeout(20):
            async with client.stream("floods") as stream:
                assert await stream.recv() == b"x" * 10_000

    play(transport, scenario, {"floods": _until_the_client_is_gone(floods)}, close_timeout=0.5)


def test_send_waits_for_a_model_that_does_not_read(transport: str) -> None:
    go_on = asyncio.Event()

    async def late(conversation: Conversation) -> None:
        await go_on.wait()
        while await conversation.recv() is not None:
            pass

    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("late") as stream:
            sent = 0

            async def send_all() -> None:
                nonlocal sent
                for _ in range(1000):
                    await stream.send(b"x" * 100_000)
                    sent += 1

            sending = asyncio.create_task(send_all())
            await asyncio.wait({sending}, timeout=0.5)
            assert 0 < sent < 500
            go_on.set()
            await sending

    play(transport, scenario, {"late": late})


def test_a_model_waits_for_a_client_that_does_not_read(transport: str) -> None:
    sent = 0

    async def floods(conversation: Conversation) -> None:
        nonlocal sent
        for _ in range(1000):
            await conversation.send(b"x" * 100_000)
            sent += 1
        await conversation.recv()

    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("floods") as stream:
            assert len(await stream.recv()) == 100_000
            never = asyncio.Event()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(never.wait(), 0.5)
            assert 0 < sent < 500
            for _ in range(999):
                assert len(await stream.recv()) == 100_000

    play(transport, scenario, {"floods": floods})


def test_two_receivers_at_once_are_an_error(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            first = asyncio.create_task(stream.recv())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="another task is receiving"):
                await stream.recv()
            await stream.send("for the first")

            assert await first == "for the first"

    play(transport, scenario, {"echo": echo})


def test_many_senders_may_share_a_stream(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        async with client.stream("echo") as stream:
            numbers = {str(number) for number in range(100)}
            async with asyncio.TaskGroup() as group:
                for number in numbers:
                    group.create_task(stream.send(number))

            assert {await stream.recv() for _ in numbers} == numbers

    play(transport, scenario, {"echo": echo})


def test_leaving_by_an_exception_ends_the_stream_and_lets_it_through(transport: str) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()

    async def listens(conversation: Conversation) -> None:
        await told.put(await conversation.recv())

    async def scenario(client: Client, edge: FakeEdge) -> None:
        with pytest.raises(ZeroDivisionError):
            async with client.stream("listens"):
                raise ZeroDivisionError

        assert await told.get() is None

    play(transport, scenario, {"listens": listens})


def test_leaving_the_client_closes_its_streams(transport: str) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()

    async def listens(conversation: Conversation) -> None:
        await told.put(await conversation.recv())

    async def run() -> None:
        async with fake_edge({"listens": listens}) as edge:
            async with connected(edge, transport) as client:
                stream = client.stream("listens")
                await stream.__aenter__()

            assert await told.get() is None
            assert stream.close_code == 1000

    asyncio.run(run())


def test_a_stream_is_used_inside_of_its_block_and_once(transport: str) -> None:
    async def scenario(client: Client, edge: FakeEdge) -> None:
        stream = client.stream("echo")
        with pytest.raises(RuntimeError, match="async with"):
            await stream.recv()
        assert stream.close_code is None
        async with stream:
            pass
        with pytest.raises(RuntimeError, match="only once"):
            async with stream:
                pytest.fail("the stream was opened twice")

    play(transport, scenario, {"echo": echo})


def test_a_stream_that_is_not_accepted_in_time_is_given_up(transport: str) -> None:
    async def run() -> None:
        server = await asyncio.start_server(_never_answers, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            scheme = "ws" if transport == "websocket" else "grpc"
            async with Client(f"{scheme}://127.0.0.1:{port}", open_timeout=0.2) as client:
                with pytest.raises(UpstreamError, match=re.escape("within 0.2 s")) as caught:
                    async with client.stream("echo"):
                        pytest.fail("the stream was opened")

        assert caught.value.code is EndCode.HANDSHAKE_TIMEOUT

    asyncio.run(run())


def test_an_edge_that_is_not_there_is_a_typed_error_that_names_it(transport: str) -> None:
    async def run() -> None:
        server = await asyncio.start_server(_never_answers, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        scheme = "ws" if transport == "websocket" else "grpc"
        async with Client(f"{scheme}://127.0.0.1:{port}") as client:
            with pytest.raises(PenstockError, match=f"cannot connect to {scheme}://127.0.0.1:{port}") as caught:
                async with client.stream("echo"):
                    pytest.fail("the stream was opened")

        assert (caught.value.code, caught.value.retryable) == (EndCode.CLIENT_GONE, True)

    asyncio.run(run())


def _until_the_client_is_gone(model: Model) -> Model:
    async def wrapped(conversation: Conversation) -> None:
        try:
            await model(conversation)
        except ConnectionClosed:
            pass

    return wrapped


async def _never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(4096):
            pass
    finally:
        writer.close()
