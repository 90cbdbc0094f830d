from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import grpc
import grpc.aio
import pytest

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind, decode
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.limits import BATCH_WIRE_BYTES_MAX
from penstock.trunk.pacing import INTERVAL_S, MEASURE_S, Pacer
from penstock.trunk.pump import Writer, read_all
from penstock.trunk.stream import TrunkStream
from penstock_testing.trunk_pair import RecordingSink
from penstock_testing.virtual_time import run_virtual

METHOD = "/test.Trunk/Connect"
OPTIONS = [
    ("grpc.max_receive_message_length", BATCH_WIRE_BYTES_MAX),
    ("grpc.max_send_message_length", BATCH_WIRE_BYTES_MAX),
]
LIMIT_S = 20.0


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition that other tasks of this loop bring about."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 (a condition of several parties; nobody sets an event)
            await asyncio.sleep(0)


class FakeCall:
    """A call whose writes end when the test says so, and whose reads are given by the test."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.written: list[bytes] = []
        self.times: list[float] = []
        self.gate = asyncio.Event()
        self.reads: asyncio.Queue[Any] = asyncio.Queue()
        if is_open:
            self.gate.set()

    async def write(self, message: bytes) -> None:
        self.written.append(message)
        self.times.append(asyncio.get_running_loop().time())
        await self.gate.wait()

    async def read(self) -> Any:
        return await self.reads.get()


def runner_endpoint(writer: Writer) -> Endpoint:
    return Endpoint(Role.RUNNER, "replica-1", on_output=writer.wake)


def go_aways(call: FakeCall) -> list[str]:
    """Reasons that were written, in order; each is one item."""
    return [
        trunk_pb2.GoAway.FromString(data).reason
        for payload in call.written
        for kind, data in zip(*_columns(payload), strict=True)
        if kind == Kind.GO_AWAY
    ]


def _columns(payload: bytes) -> tuple[bytes, list[bytes]]:
    batch = decode(trunk_pb2.ConnectResponse, payload)
    return batch.kind, batch.data


def test_what_comes_up_during_a_write_goes_with_the_next() -> None:
    async def main() -> None:
        writer, call = Writer(), FakeCall(is_open=False)
        endpoint = runner_endpoint(writer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run(call, endpoint))
            await until(lambda: len(call.written) == 1)
            for number in range(100):
                endpoint.go_away(str(number))
            call.gate.set()
            await until(lambda: len(call.written) == 2)
            writer.stop()

        assert go_aways(call) == [str(number) for number in range(100)]
        assert endpoint.taken_items == 0

    asyncio.run(main())


def test_an_idle_writer_is_woken_by_output() -> None:
    async def main() -> None:
        writer, call = Writer(), FakeCall()
        endpoint = runner_endpoint(writer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run(call, endpoint))
            for number in range(10):
                await until(lambda: not endpoint.is_output_announced)
                endpoint.go_away(str(number))
            await until(lambda: not endpoint.is_output_announced)
            writer.stop()

        assert go_aways(call) == [str(number) for number in range(10)]
        assert len(call.written) == 11

    asyncio.run(main())


@pytest.mark.parametrize("stops_first", [True, False])
def test_a_stopped_writer_writes_what_is_pending_and_ends(stops_first: bool) -> None:
    async def main() -> None:
        writer, call = Writer(), FakeCall()
        endpoint = runner_endpoint(writer)
        for number in range(2000):
            endpoint.go_away(str(number))
        if stops_first:
            writer.stop()
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run(call, endpoint))
            await asyncio.sleep(0)
            writer.stop()

        assert len(go_aways(call)) == 2000

    asyncio.run(main())


def test_a_writer_ends_when_it_is_woken_after_a_loss() -> None:
    async def main() -> None:
        writer, call = Writer(), FakeCall()
        endpoint = runner_endpoint(writer)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run(call, endpoint))
            await until(lambda: not endpoint.is_output_announced)
            endpoint.lose("call broke")
            writer.wake()

    asyncio.run(main())


def test_an_error_of_the_call_ends_the_writer() -> None:
    class BrokenCall(FakeCall):
        async def write(self, message: bytes) -> None:
            raise ConnectionError("broken")

    async def main() -> None:
        writer = Writer()
        with pytest.raises(ConnectionError, match="broken"):
            await writer.run(BrokenCall(), runner_endpoint(writer))

    asyncio.run(main())


def test_waking_is_harmless_at_any_time() -> None:
    async def main() -> None:
        writer, call = Writer(), FakeCall()
        writer.wake()
        endpoint = runner_endpoint(writer)
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(writer.run(call, endpoint))
            await until(lambda: not endpoint.is_output_announced)
            for _ in range(3):
                writer.wake()
            await until(lambda: len(call.written) == 1)
            task.cancel()
            writer.wake()
        writer.wake()

    asyncio.run(main())


def test_a_paced_writer_leaves_a_pause_between_writes_of_a_sustained_load() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        writer, call = Writer(Pacer(loop.time())), FakeCall()
        endpoint = runner_endpoint(writer)

        async def load() -> None:
            """10,000 items a second, each in a write of its own unless the writer waits."""
            for number in range(6000):
                endpoint.go_away(str(number))
                paused: asyncio.Future[None] = loop.create_future()
                loop.call_later(0.0001, paused.set_result, None)
                await paused
            writer.stop()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.run(call, endpoint))
            tasks.create_task(load())

        assert len(go_aways(call)) == 6000
        late = [time for time in call.times if time > 3 * MEASURE_S]
        gaps = [after - before for before, after in pairwise(late)]
        assert min(gaps) > 0.9 * INTERVAL_S
        first = [time for time in call.times if time < MEASURE_S / 2]
        assert len(first) > 200

    run_virtual(main())


def test_reading_ends_with_the_call_or_with_a_fault() -> None:
    async def main() -> None:
        call = FakeCall()
        batches: list[bool] = []
        peer = Endpoint(Role.EDGE, "edge-1", on_output=lambda: None)
        endpoint = runner_endpoint(Writer())
        call.reads.put_nowait(peer.take_batch())
        call.reads.put_nowait(grpc.aio.EOF)

        assert await read_all(call, endpoint, lambda: batches.append(True)) == "call was ended by the peer"
        assert endpoint.peer_name == "edge-1" and endpoint.fault is None and batches == [True]

        call.reads.put_nowait(b"\xff")
        assert await read_all(call, endpoint, lambda: batches.append(True)) == "batch is not valid protobuf"
        assert batches == [True, True]

    asyncio.run(main())


class Echo(RecordingSink):
    """Sends every segment back."""

    def on_segment(self, kind: int, data: bytes) -> None:
        self.trunk_stream.send(kind, data)
        self.trunk_stream.consumed(len(data))


class Runner:
    """A gRPC server on loopback whose streams echo."""

    def __init__(self) -> None:
        self.server = grpc.aio.server(options=OPTIONS)
        self.sinks: list[Echo] = []
        self.details: list[str] = []
        handler: Any = grpc.stream_stream_rpc_method_handler(self._connect)
        service, method = METHOD[1:].split("/")
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))

    async def _connect(self, _: Any, context: Any) -> None:
        writer = Writer()

        def on_open(stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
            echo = Echo()
            echo.attach(stream)
            self.sinks.append(echo)
            endpoint.accept(stream, trunk_pb2.AcceptStream())

        endpoint = Endpoint(Role.RUNNER, "replica-1", on_output=writer.wake, on_open=on_open)
        writing = asyncio.get_running_loop().create_task(writer.run(context, endpoint))
        detail = "cancelled"
        try:
            detail = await read_all(context, endpoint)
        finally:
            endpoint.lose(detail)
            self.details.append(detail)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


class Edge:
    """The client's side of a trunk on loopback."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.writer = Writer()
        self.endpoint = Endpoint(Role.EDGE, "edge-1", on_output=self.writer.wake)

    async def read(self) -> None:
        detail = "cancelled"
        try:
            detail = await read_all(self.call, self.endpoint)
        except grpc.aio.AioRpcError as error:
            detail = error.code().name
        finally:
            self.endpoint.lose(detail)
            self.writer.wake()

    async def connect(self) -> RecordingSink:
        await until(lambda: self.endpoint.peer_name is not None)
        sink = RecordingSink(consumes=True)
        sink.attach(self.endpoint.open(trunk_pb2.OpenStream(stream_id="s1")))
        await until(lambda: sink.accepts)
        return sink


@asynccontextmanager
async def loopback() -> AsyncIterator[tuple[Edge, Runner]]:
    runner = Runner()
    port = runner.server.add_insecure_port("127.0.0.1:0")
    await runner.server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
            edge = Edge(channel.stream_stream(METHOD, None, None)())
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(edge.read())
                writing = tasks.create_task(edge.writer.run(edge.call, edge.endpoint))
                try:
                    yield edge, runner
                finally:
                    edge.writer.stop()
                    await asyncio.wait([writing], timeout=LIMIT_S)
                    if not reading.done():
                        await edge.call.done_writing()
    finally:
        await runner.server.stop(None)


def on_loopback(test: Callable[[Edge, Runner], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(3 * LIMIT_S), loopback() as (edge, runner):
            await test(edge, runner)

    asyncio.run(main())


def test_messages_of_all_sizes_pass_a_real_call_and_come_back() -> None:
    sent = [(Kind.BINARY, b"x" * size) for size in (0, 1, 100, 5_000_000, 7)] + [(Kind.TEXT, b"end")]

    async def test(edge: Edge, runner: Runner) -> None:
        sink = await edge.connect()
        for kind, data in sent:
            sink.trunk_stream.send(kind, data)
        await until(lambda: len(sink.messages) == len(sent))
        assert sink.messages == sent
        assert sink.writable

    on_loopback(test)


def test_many_streams_share_a_real_call() -> None:
    async def test(edge: Edge, runner: Runner) -> None:
        sinks = [await edge.connect() for _ in range(20)]
        for number in range(100):
            for sink in sinks:
                sink.trunk_stream.send(Kind.TEXT, str(number).encode())
        await until(lambda: all(len(sink.messages) == 100 for sink in sinks))
        for sink in sinks:
            assert [data for _, data in sink.messages] == [str(number).encode() for number in range(100)]

    on_loopback(test)


def test_the_death_of_the_server_ends_the_streams_of_the_client() -> None:
    async def test(edge: Edge, runner: Runner) -> None:
        sink = await edge.connect()
        await runner.server.stop(None)
        await until(lambda: sink.closings)
        assert [closing.code for closing in sink.closings] == [EndCode.REPLICA_LOST]
        assert edge.endpoint.fault is not None

    on_loopback(test)


def test_the_death_of_the_client_ends_the_streams_of_the_server() -> None:
    async def test(edge: Edge, runner: Runner) -> None:
        await edge.connect()
        edge.call.cancel()
        await until(lambda: runner.details)
        assert [closing.code for sink in runner.sinks for closing in sink.closings] == [EndCode.CLIENT_GONE]

    on_loopback(test)


def test_a_client_that_breaks_the_protocol_is_cut_off() -> None:
    async def test(edge: Edge, runner: Runner) -> None:
        sink = await edge.connect()
        await edge.call.write(b"\xff")
        await until(lambda: sink.closings)
        assert runner.details == ["batch is not valid protobuf"]

    on_loopback(test)


def test_a_client_that_has_nothing_more_to_say_ends_the_call_in_order() -> None:
    async def test(edge: Edge, runner: Runner) -> None:
        sink = await edge.connect()
        sink.trunk_stream.send(Kind.TEXT, b"last words")
        edge.writer.stop()
        await until(lambda: sink.messages)
        await edge.call.done_writing()
        await until(lambda: runner.details)
        assert runner.details == ["call was ended by the peer"]
        await until(lambda: sink.closings)

    on_loopback(test)
