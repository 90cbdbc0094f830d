from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
import structlog

from penstock.api.control.v1 import control_pb2
from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.limits import WINDOW_BYTES
from penstock_edge import grpc_stream as grpc_stream_module
from penstock_testing.client_streams import end_streams, list_streams
from penstock_testing.edge_kit import duration
from penstock_testing.grpc_edge import TO_ECHO, Bench, assert_nothing_left, binary, failure, serving, text


def test_messages_pass_both_ways_and_the_model_ends_the_call() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            await call.write(text("héllo"))
            await call.write(binary(b"\xff"))
            await call.write(binary(b""))
            await bench.until(lambda: len(side.segments) == 3)
            assert side.take() == [(Kind.TEXT, "héllo".encode()), (Kind.BINARY, b"\xff"), (Kind.BINARY, b"")]

            side.send(Kind.TEXT, b"back")
            side.send(Kind.BINARY, b"\x00")
            side.close(EndCode.MODEL_CLOSED, 1000, "done")
            got = [response async for response in call]
            assert [response.message.text for response in got[:1]] == ["back"]
            assert got[1].message.binary == b"\x00"
            assert (got[2].close.code, got[2].close.reason) == (1000, "done")
            assert await call.code() is grpc.StatusCode.OK
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert_nothing_left(bench)

    asyncio.run(main())


def test_the_runner_is_told_who_asks() -> None:
    async def main() -> None:
        async with serving() as bench:
            call = bench.call((*TO_ECHO, ("x-tag", "1"), ("authorization", "secret")))
            request = (await bench.side()).request

            assert request.transport == trunk_pb2.TRANSPORT_GRPC
            assert ("x-tag", b"1") in [(header.name, header.value) for header in request.headers]
            assert b"secret" not in request.SerializeToString()
            call.cancel()

    asyncio.run(main())


def test_a_half_close_of_the_client_is_a_close_with_1000() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            await call.write(text("last"))
            await call.done_writing()
            await bench.until(lambda: side.closing is not None)
            assert side.segments == [(Kind.TEXT, b"last")]
            assert side.closing == (EndCode.CLIENT_CLOSED, 1000, "")
            side.close()
            assert (await call.read()).close.code == 1000
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert_nothing_left(bench)

    asyncio.run(main())


def test_a_close_of_the_client_keeps_its_code_and_reason() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            await call.write(inference_pb2.StreamRequest(close=inference_pb2.Close(code=4001, reason="bye")))
            await bench.until(lambda: side.closing is not None)
            assert side.closing == (EndCode.CLIENT_CLOSED, 4001, "bye")
            call.cancel()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "close_code", "status"),
    [
        (EndCode.MODEL_ERROR, 1011, grpc.StatusCode.INTERNAL),
        (EndCode.NOT_WEBSOCKET, 1003, grpc.StatusCode.UNIMPLEMENTED),
        (EndCode.REPLICA_DRAINING, 1012, grpc.StatusCode.UNAVAILABLE),
        (EndCode.MODEL_CLOSED, 4000, grpc.StatusCode.ABORTED),
    ],
)
def test_other_ends_are_the_status_that_belongs_to_them(
    code: EndCode, close_code: int, status: grpc.StatusCode
) -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            side.send(Kind.TEXT, b"before")
            side.close(code, close_code, "why")
            assert (await call.read()).message.text == "before"
            got, message, detail = await failure(call)
            assert (got, message) == (status, "why")
            assert (detail.code, detail.close_code, detail.deployment_id) == (code, close_code, "echo-1")
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert_nothing_left(bench)

    asyncio.run(main())


def test_a_lost_replica_is_unavailable_and_may_be_tried_again() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, _ = await bench.opened()
            bench.kit.runners["r1"].lose()
            status, _, detail = await failure(call)
            assert status is grpc.StatusCode.UNAVAILABLE
            assert (detail.code, detail.retryable) == (EndCode.REPLICA_LOST, True)

    asyncio.run(main())


def test_a_client_that_cancels_is_told_to_the_model_at_once() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            with structlog.testing.capture_logs() as logs:
                call.cancel()
                await bench.until(lambda: side.closing is not None)
                assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE
                side.close()
                await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert [entry["code"] for entry in logs if entry["event"] == "stream_ended"] == ["CLIENT_GONE"]
            assert_nothing_left(bench)

    asyncio.run(main())


def test_a_client_that_cancels_while_it_waits_leaves_nothing() -> None:
    async def main() -> None:
        async with serving() as bench:
            asked = bench.call()
            side = await bench.side()
            asked.cancel()
            await bench.until(lambda: side.closing is not None)
            side.accept()
            side.close()
            bench.kit.apply(("r1", 10, 10))
            waiting = bench.call()
            await bench.until(lambda: bench.kit.plane.waiting.has("echo-1"))
            waiting.cancel()
            await bench.until(lambda: not bench.kit.plane.waiting.has("echo-1"))
            assert bench.kit.plane.active_streams == 0

    asyncio.run(main())


def test_a_message_above_the_limit_ends_the_call() -> None:
    async def main() -> None:
        async with serving(control_pb2.StreamSettings(message_bytes_max=10)) as bench:
            call, side = await bench.opened()
            await call.write(binary(b"x" * 10))
            await call.write(binary(b"x" * 11))
            status, _, detail = await failure(call)
            assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (detail.code, detail.close_code) == (EndCode.MESSAGE_TOO_BIG, 1009)
            await bench.until(lambda: side.closing is not None)
            assert [len(data) for _, data in side.segments] == [10]

    asyncio.run(main())


def test_a_large_message_is_put_together_for_the_caller() -> None:
    async def main() -> None:
        options = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]
        async with serving() as bench, grpc.aio.insecure_channel(bench.address, options=options) as channel:
            bench.stub = inference_pb2_grpc.InferenceServiceStub(channel)
            call, side = await bench.opened()
            data = bytes(range(256)) * (3 * WINDOW_BYTES // 256)
            reading = asyncio.create_task(call.read())
            side.send(Kind.BINARY, data)
            await bench.until(reading.done)
            assert reading.result().message.binary == data
            assert not side.stream.is_blocked
            call.cancel()

    asyncio.run(main())


def test_a_slow_model_stops_its_caller() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            sent = 0

            async def send_all() -> None:
                nonlocal sent
                for _ in range(200):
                    await call.write(binary(bytes(50_000)))
                    sent += 1

            sending = asyncio.create_task(send_all())
            await bench.until(lambda: sum(len(data) for _, data in side.segments) > WINDOW_BYTES - 100_000)
            for _ in range(20):
                await bench.until(lambda: True)
                assert sum(len(data) for _, data in side.segments) <= WINDOW_BYTES
            assert not sending.done()
            taken = 0
            while taken < 200:
                await bench.until(lambda: bool(side.segments))
                taken += sum(kind in (Kind.BINARY, Kind.LAST) for kind, _ in side.take())
            await sending
            assert sent == 200
            call.cancel()

    asyncio.run(main())


def test_refusals_say_when_to_come_back() -> None:
    async def main() -> None:
        async with serving(control_pb2.StreamSettings(queue_timeout=duration(0))) as bench:
            bench.kit.apply(("r1", 10, 10), settings=control_pb2.StreamSettings(queue_timeout=duration(0)))
            call = bench.call()
            status, _, detail = await failure(call)
            assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (detail.code, detail.retryable) == (EndCode.REPLICA_FULL, True)
            assert ("retry-after", "1") in list(await call.trailing_metadata())

            bench.kit.plane.is_draining = True
            status, _, detail = await failure(bench.call())
            assert (status, detail.code) == (grpc.StatusCode.UNAVAILABLE, EndCode.EDGE_DRAINING)

    asyncio.run(main())


def test_a_slot_counts_as_taken_until_the_handler_of_a_caller_that_left_has_ended() -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            call.cancel()
            await bench.until(lambda: side.closing is not None)
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert bench.kit.active("r1") == 1

            side.close()
            await bench.until(lambda: bench.kit.active("r1") == 0)

    asyncio.run(main())


async def open_streams(bench: Bench) -> list[control_pb2.StreamView]:
    return list((await list_streams(bench.kit.plane.open_streams)).streams)


async def end_all(bench: Bench, close_code: int = 0, reason: str = "") -> list[str]:
    ids = [view.stream_id for view in await open_streams(bench)]
    return await end_streams(bench.kit.plane.open_streams, ids, close_code, reason)


@pytest.mark.parametrize(
    ("close_code", "reason", "expected"),
    [
        (0, "", (1012, "Closed by an operator; connect again.")),
        (4002, "moved", (4002, "moved")),
        (1000, "", (1000, "")),
    ],
)
def test_an_operator_ends_a_call_with_a_close_and_a_status(
    close_code: int, reason: str, expected: tuple[int, str]
) -> None:
    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            side.send(Kind.TEXT, b"before")
            with structlog.testing.capture_logs() as logs:
                assert await end_all(bench, close_code, reason) == [side.request.stream_id]
                assert await end_all(bench, 4999) == [], "its end has begun"
                assert (await call.read()).message.text == "before"
                last = (await call.read()).close
                status, _, detail = await failure(call)
                await bench.until(lambda: side.closing is not None)
                side.close()
                await bench.until(lambda: bench.kit.plane.active_streams == 0)

            assert (last.code, last.reason) == expected
            assert status is grpc.StatusCode.UNAVAILABLE
            assert (detail.code, detail.close_code, detail.retryable) == ("OPERATOR_CLOSED", expected[0], True)
            assert side.closing == (EndCode.OPERATOR_CLOSED, *expected)
            ends = [(entry["code"], entry["close_code"]) for entry in logs if entry["event"] == "stream_ended"]
            assert ends == [("OPERATOR_CLOSED", expected[0])]
            assert_nothing_left(bench)

    asyncio.run(main())


def test_a_call_that_takes_nothing_is_counted_as_over_some_time_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_stream_module, "CLOSE_TIMEOUT_S", 0.2)

    async def main() -> None:
        async with serving() as bench:
            call, side = await bench.opened()
            blocked_rounds = 0

            def is_stuck() -> bool:
                nonlocal blocked_rounds
                blocked_rounds = blocked_rounds + 1 if side.stream.is_blocked else 0
                if not blocked_rounds:
                    side.send(Kind.BINARY, bytes(100_000))
                return blocked_rounds == 50

            await bench.until(is_stuck)

            assert len(await end_all(bench)) == 1
            await bench.until(lambda: side.closing is not None)
            side.close()
            await bench.until(lambda: bench.kit.plane.active_streams == 0)

            assert bench.kit.active("r1") == 0
            assert not call.done()
            status, _, detail = await failure(call)
            assert (status, detail.code) == (grpc.StatusCode.UNAVAILABLE, EndCode.OPERATOR_CLOSED)

    asyncio.run(main())


def test_an_open_call_is_listed_with_what_it_is_and_has_done() -> None:
    async def main() -> None:
        async with serving() as bench:
            waiting = bench.call()
            await bench.side()
            assert await open_streams(bench) == [], "it has no slot yet"
            call, side = await bench.opened(1)
            await call.write(text("hello"))
            side.send(Kind.BINARY, bytes(1_000))
            await call.read()
            await bench.until(lambda: bool(side.segments))

            (view,) = await open_streams(bench)
            # A message may reach the caller before the edge knows that it is on its way.
            while not view.messages_out:
                await bench.round()
                (view,) = await open_streams(bench)

            assert (view.stream_id, view.deployment_id, view.replica_id) == (side.request.stream_id, "echo-1", "r1")
            assert (view.transport, view.edge_id) == ("grpc", "edge-test")
            assert view.client == f"{side.request.client.host}:{side.request.client.port}"
            assert view.client.startswith("127.0.0.1:")
            assert (view.bytes_in, view.bytes_out, view.messages_in, view.messages_out) == (5, 1_000, 1, 1)
            assert view.age.ToNanoseconds() > view.silent_for.ToNanoseconds() >= 0
            call.cancel()
            waiting.cancel()
            await bench.until(lambda: bench.kit.plane.active_streams == 0)
            assert await open_streams(bench) == []

    asyncio.run(main())
