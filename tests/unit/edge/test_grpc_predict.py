from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_status import rpc_status

from penstock.api.common.v1 import common_pb2
from penstock.api.control.v1 import control_pb2
from penstock.api.inference.v1 import inference_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.request_call import BODY_PART_BYTES_MAX
from penstock_testing.edge_kit import duration
from penstock_testing.grpc_edge import TO_ECHO, Bench, serving
from penstock_testing.request_kit import answer, response

Scenario = Callable[[Bench], Awaitable[None]]


def played(scenario: Scenario, settings: control_pb2.StreamSettings | None = None) -> None:
    async def main() -> None:
        async with serving(settings) as bench:
            await scenario(bench)
            runner = bench.kit.runners.get("r1")
            if runner is not None:
                await bench.until(lambda: not bench.kit.plane.calls)
                for side in runner.streams:
                    if side.closing is not None and side.stream in runner.side.streams.values():
                        side.close()
                runner.pump()
                assert bench.kit.active("r1") == 0

    asyncio.run(main())


def predict(bench: Bench, body: bytes = b"{}", *, timeout: float | None = None, **fields: Any) -> Any:
    request = inference_pb2.PredictRequest(body=body, content_type="application/json", **fields)
    return bench.stub.Predict(request, metadata=(*TO_ECHO, ("x-own", "kept")), timeout=timeout)


def predict_stream(bench: Bench, body: bytes = b"{}") -> Any:
    request = inference_pb2.PredictStreamRequest(body=body, content_type="application/json")
    return bench.stub.PredictStream(request, metadata=TO_ECHO)


async def failure_of(call: Awaitable[object]) -> tuple[grpc.StatusCode, common_pb2.ErrorDetail, Any]:
    """The status of a call, its detail and the model's own answer, if there is one."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    detail = common_pb2.ErrorDetail()
    body = inference_pb2.ErrorBody()
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # its stub knows synchronous calls only
    assert status is not None
    for any_detail in status.details:
        any_detail.Unpack(detail)
        any_detail.Unpack(body)
    return caught.value.code(), detail, body


async def listed(call: Any) -> list[bytes]:
    return [message.body async for message in call]


def test_a_request_and_its_response() -> None:
    async def scenario(bench: Bench) -> None:
        call = asyncio.create_task(_response(predict(bench, b'{"a": 1}')))
        side = await bench.side()
        request = side.request
        assert (request.body, request.method, request.model_path) == (b'{"a": 1}', "POST", b"/v1/models/model:predict")
        headers = {header.name: header.value for header in request.headers}
        assert (headers["content-type"], headers["x-own"]) == (b"application/json", b"kept")
        side.accept()
        answer(side, b'{"b": 2}')
        got = await call
        assert (got.body, got.content_type, got.status) == (b'{"b": 2}', "application/json", 200)

    played(scenario)


async def _response(call: Any) -> inference_pb2.PredictResponse:
    got = await call
    assert isinstance(got, inference_pb2.PredictResponse)
    return got


@pytest.mark.parametrize("size", [BODY_PART_BYTES_MAX, BODY_PART_BYTES_MAX + 1, 3_000_000])
def test_a_large_body_arrives_whole(size: int) -> None:
    async def scenario(bench: Bench) -> None:
        call = asyncio.create_task(_response(predict(bench, bytes(size))))
        side = await bench.side()
        side.accept()
        received = len(side.request.body)
        is_ended = not side.request.body_follows

        def take() -> bool:
            nonlocal received, is_ended
            for _, data in side.take():
                received += len(data)
                is_ended = not data
            return is_ended

        await bench.until(take)
        assert received == size
        answer(side, b"1")
        assert (await call).body == b"1"

    played(scenario)


def test_a_body_beyond_the_limit_is_refused() -> None:
    async def scenario(bench: Bench) -> None:
        code, detail, _ = await failure_of(predict(bench, bytes(1001)))
        assert (code, detail.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_BIG")
        assert not bench.kit.runners["r1"].streams, "the model is not asked"

    played(scenario, control_pb2.StreamSettings(message_bytes_max=1000))


def test_a_streamed_result_is_put_together_for_one_call_and_kept_apart_for_the_other() -> None:
    async def scenario(bench: Bench) -> None:
        whole = asyncio.create_task(_response(predict(bench)))
        side = await bench.side(0)
        side.accept()
        items = asyncio.create_task(listed(predict_stream(bench)))
        other = await bench.side(1)
        other.accept()
        for one in (side, other):
            one.send(Kind.BINARY, response(200, b"one", more=True))
            one.send(Kind.BINARY, b"two")
            one.send(Kind.BINARY, bytes(300_000))
            one.close()
        assert len((await whole).body) == 300_006
        assert [len(item) for item in await items] == [3, 3, 300_000]

    played(scenario)


def test_items_come_while_the_model_makes_them() -> None:
    async def scenario(bench: Bench) -> None:
        call = predict_stream(bench)
        side = await bench.side()
        side.accept()
        side.send(Kind.BINARY, response(200, b"one", more=True))
        assert (await call.read()).body == b"one"
        side.send(Kind.BINARY, b"two")
        assert (await call.read()).body == b"two"
        side.close()
        assert await call.read() is grpc.aio.EOF

    played(scenario)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INVALID_ARGUMENT),
        (418, grpc.StatusCode.INVALID_ARGUMENT),
        (422, grpc.StatusCode.INVALID_ARGUMENT),
        (404, grpc.StatusCode.NOT_FOUND),
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (500, grpc.StatusCode.INTERNAL),
        (503, grpc.StatusCode.UNAVAILABLE),
        (599, grpc.StatusCode.UNKNOWN),
    ],
)
@pytest.mark.parametrize("is_streamed", [True, False])
def test_an_error_of_the_model_is_typed_and_carries_its_answer(
    status: int, code: grpc.StatusCode, is_streamed: bool
) -> None:
    async def scenario(bench: Bench) -> None:
        call: Any = listed(predict_stream(bench)) if is_streamed else _response(predict(bench))
        failing = asyncio.create_task(failure_of(call))
        side = await bench.side()
        side.accept()
        answer(side, b'{"error": "told"}', status)
        got, detail, body = await failing
        assert (got, detail.code, detail.deployment_id) == (code, "MODEL_ERROR", "echo-1")
        assert detail.retryable is (status in (429, 503))
        assert (body.status, body.body, body.content_type) == (status, b'{"error": "told"}', "application/json")

    played(scenario)


def test_a_replica_that_is_lost_is_unavailable() -> None:
    async def scenario(bench: Bench) -> None:
        failing = asyncio.create_task(failure_of(_response(predict(bench))))
        side = await bench.side()
        side.accept()
        bench.kit.runners["r1"].lose()
        code, detail, _ = await failing
        assert (code, detail.code, detail.retryable) == (grpc.StatusCode.UNAVAILABLE, "REPLICA_LOST", True)

    played(scenario)


def test_a_model_that_does_not_answer_is_given_up() -> None:
    async def scenario(bench: Bench) -> None:
        failing = asyncio.create_task(failure_of(_response(predict(bench))))
        side = await bench.side()
        side.accept()
        code, _, _ = await failing
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED

        def is_told() -> bool:
            bench.kit.runners["r1"].pump()
            return side.closing is not None

        # The caller hears of it first.
        await bench.until(is_told)
        assert side.closing is not None and side.closing.code is EndCode.REQUEST_TIMEOUT

    played(scenario, control_pb2.StreamSettings(predict_timeout=duration(0.1)))


@pytest.mark.parametrize("how", ["cancels", "has no time left"])
def test_the_model_is_told_of_a_caller_that_leaves(how: str) -> None:
    async def scenario(bench: Bench) -> None:
        call = predict(bench, timeout=0.5 if how == "has no time left" else None)
        side = await bench.side()
        side.accept()
        if how == "cancels":
            call.cancel()
        await bench.until(lambda: side.closing is not None)
        assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE

    played(scenario)
