"""InferenceService.Predict and PredictStream: requests of gRPC callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn
from urllib.parse import quote

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import status_pb2
from grpc_status import rpc_status

from penstock.api.common.v1 import common_pb2
from penstock.api.inference.v1 import inference_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode
from penstock_edge.ended import record_refusal
from penstock_edge.grpc_stream import fail_call, peer_address
from penstock_edge.headers import forwarded_headers
from penstock_edge.plane import DataPlane
from penstock_edge.request_call import BODY_PART_BYTES_MAX, PREDICT_PATH, CallFailedError, RequestCall
from penstock_edge.routing import Deployment

ERROR_BODY_BYTES_MAX = 64 * 1024
"""How much of a model's answer goes with an error status."""

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.ABORTED,
    412: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Context = grpc.aio.ServicerContext[Any, Any]


async def predict(
    plane: DataPlane, deployment: Deployment, request: inference_pb2.PredictRequest, context: Context
) -> inference_pb2.PredictResponse:
    """Answers one call with the whole response; a streamed one is put together, up to the message limit."""
    async with _Call(plane, deployment, request, context) as call:
        try:
            head = await call.start()
            whole = bytearray(head.body)
            while head.body_follows and (part := await call.next_part()) is not None:
                whole += part
                if len(whole) > deployment.settings.message_bytes_max:
                    raise CallFailedError(EndCode.MESSAGE_TOO_BIG)
        except CallFailedError as failure:
            await _fail(plane, deployment, failure, context)
        content_type = _content_type(head)
        if head.status >= 400:
            await _fail_as_model(call, head.status, bytes(whole), content_type, context)
        return inference_pb2.PredictResponse(body=bytes(whole), content_type=content_type, status=head.status)


async def predict_stream(
    plane: DataPlane, deployment: Deployment, request: inference_pb2.PredictStreamRequest, context: Context
) -> AsyncIterator[inference_pb2.PredictStreamResponse]:
    """Answers one call with one message per item of the model."""
    bytes_max = deployment.settings.message_bytes_max
    async with _Call(plane, deployment, request, context) as call:
        try:
            head = await call.start()
            content_type = _content_type(head)
            if head.status >= 400:
                body = bytearray(head.body)
                while head.body_follows and len(body) < ERROR_BODY_BYTES_MAX and (part := await call.next_part()):
                    body += part
                await _fail_as_model(call, head.status, bytes(body), content_type, context)
            first = inference_pb2.PredictStreamResponse(body=head.body, content_type=content_type, status=head.status)
            if not head.body and head.body_follows:
                first.body = await call.next_item(bytes_max) or b""
            yield first
            while head.body_follows and (item := await call.next_item(bytes_max)) is not None:
                yield inference_pb2.PredictStreamResponse(body=item)
        except CallFailedError as failure:
            await _fail(plane, deployment, failure, context)


class _Call:
    """A RequestCall of a gRPC caller, closed at the end, with the rest of a large body on its way."""

    def __init__(
        self,
        plane: DataPlane,
        deployment: Deployment,
        request: inference_pb2.PredictRequest | inference_pb2.PredictStreamRequest,
        context: Context,
    ) -> None:
        self._plane = plane
        peer = peer_address(context.peer())
        metadata = [(key, value) for key, value in context.invocation_metadata() or () if isinstance(value, str)]
        headers = [
            header
            for header in forwarded_headers(metadata)
            if header.name != "content-type" and not header.name.startswith(("penstock-", "grpc-"))
        ]
        headers.append(
            common_pb2.Header(name="content-type", value=(request.content_type or "application/json").encode())
        )
        self._rest = request.body[BODY_PART_BYTES_MAX:]
        self._call = RequestCall(
            plane,
            deployment,
            headers=headers,
            body=request.body[:BODY_PART_BYTES_MAX],
            body_follows=bool(self._rest),
            path=quote(request.path).encode() if request.path else PREDICT_PATH,
            client=(peer.host, peer.port) if peer is not None else None,
            transport="grpc",
            scheme="grpc",
        )
        remaining = context.time_remaining()
        self._sending: asyncio.Task[None] | None = None
        self._is_too_big = len(request.body) > deployment.settings.message_bytes_max
        self._deadline = plane.loop.call_later(remaining, self._call.client_gone) if remaining else None

    async def __aenter__(self) -> RequestCall:
        if self._is_too_big:
            self._call.fail(CallFailedError(EndCode.MESSAGE_TOO_BIG))
        elif self._rest:
            self._sending = self._plane.loop.create_task(self._send_rest())
        return self._call

    async def _send_rest(self) -> None:
        call = self._call
        call.on_open = self._plane.loop.create_future()
        if not call.is_open:
            await call.on_open
        view = memoryview(self._rest)
        for start in range(0, len(view), BODY_PART_BYTES_MAX):
            if not await call.send_body(bytes(view[start : start + BODY_PART_BYTES_MAX])):
                return
        await call.send_body(b"")

    async def __aexit__(self, *_: object) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._call.close()
        if self._sending is not None:
            self._sending.cancel()


def _content_type(head: trunk_pb2.ResponseHead) -> str:
    values = [header.value for header in head.headers if header.name.lower() == "content-type"]
    return values[0].decode("latin-1") if values else ""


async def _fail(plane: DataPlane, deployment: Deployment, failure: CallFailedError, context: Context) -> NoReturn:
    record_refusal(deployment.name, failure.code, failure.status, plane.metrics)
    close_code = TABLE[failure.code].close_code
    await fail_call(context, failure.code, failure.text, close_code, deployment.id, failure.retry_after)


async def _fail_as_model(call: RequestCall, status: int, body: bytes, content_type: str, context: Context) -> NoReturn:
    """Ends a call with what the model has answered."""
    code = _STATUS.get(status, grpc.StatusCode.INVALID_ARGUMENT if status < 500 else grpc.StatusCode.UNKNOWN)
    details = [any_pb2.Any(), any_pb2.Any()]
    details[0].Pack(
        common_pb2.ErrorDetail(
            code=EndCode.MODEL_ERROR,
            close_code=TABLE[EndCode.MODEL_ERROR].close_code,
            retryable=status in (429, 503),
            deployment_id=call.deployment.id,
        )
    )
    details[1].Pack(inference_pb2.ErrorBody(status=status, body=body[:ERROR_BODY_BYTES_MAX], content_type=content_type))
    text = f"The model answered with status {status}."
    answer = rpc_status.to_status(status_pb2.Status(code=code.value[0], message=text, details=details))
    await context.abort_with_status(answer)
    raise AssertionError("abort returned")
