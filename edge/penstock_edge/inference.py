"""The public gRPC interface: InferenceService over the same trunks, health and reflection."""

from __future__ import annotations

import asyncio
from collections import deque
from io import BytesIO
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from penstock.api.common.v1 import common_pb2
from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, TABLE, EndCode, clip_reason, end, may_be_sent
from penstock.trunk.batch import Kind
from penstock.trunk.stream import NO_SINK, Closing, StreamSink, TrunkStream
from penstock_edge.ended import StreamRecord, record_end, record_refusal, record_start
from penstock_edge.headers import forwarded_headers
from penstock_edge.opening import Opening, refusal_text
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment

SERVICE = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name

MESSAGE_BYTES_MAX = 1024 * 1024 * 1024 + 64 * 1024
"""Largest gRPC message: the largest limit that a deployment may have, and room for framing."""

_MODEL_KEYS = ("penstock-model", "baseten-model-id")
_ENVIRONMENT_KEYS = ("penstock-environment", "x-baseten-environment")
_DEPLOYMENT_KEYS = ("penstock-deployment", "x-baseten-deployment")


class InferenceServer:
    """The gRPC server of one edge process."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self, listen: str, workers: int) -> str:
        """Binds `listen` and serves; returns the address that is bound.

        Raises:
            OSError: the address cannot be bound.
        """
        options = [
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.so_reuseport", 1 if workers > 1 else 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        server = grpc.aio.server(options=options)
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(_Servicer(self._plane), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            port = server.add_insecure_port(listen)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: {error}") from error
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        self._server = server
        return f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self) -> None:
        """Refuses new calls and ends those that are open."""
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            await self._server.stop(0.5)


async def _fail(
    context: grpc.aio.ServicerContext[Any, Any],
    code: EndCode,
    text: str,
    close_code: int,
    deployment_id: str,
    retry_after: int = 0,
) -> NoReturn:
    """Ends a call with the status that belongs to `code`, and the machine-readable cause.

    Args:
        retry_after: seconds, told as google.rpc.RetryInfo and as the trailer `retry-after`; 0 tells nothing.
    """
    row = TABLE[code]
    details = [any_pb2.Any()]
    details[0].Pack(
        common_pb2.ErrorDetail(code=code, close_code=close_code, retryable=row.retryable, deployment_id=deployment_id)
    )
    if retry_after:
        details.append(any_pb2.Any())
        details[1].Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_after)))
    grpc_code: grpc.StatusCode = grpc.StatusCode[row.grpc_status]
    if grpc_code is grpc.StatusCode.OK:  # the model closed with a code of its own, which is no success here
        grpc_code = grpc.StatusCode.ABORTED
    status = status_pb2.Status(code=grpc_code.value[0], message=text or row.reason, details=details)
    answer = rpc_status.to_status(status)
    if retry_after:
        trailers = (*answer.trailing_metadata, ("retry-after", str(retry_after)))
        answer = answer._replace(trailing_metadata=trailers)  # type: ignore[attr-defined]  # it is a named tuple
    await context.abort_with_status(answer)
    raise AssertionError("abort returned")


class _Servicer(inference_pb2_grpc.InferenceServiceServicer):
    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    async def Stream(  # type: ignore[override]
        self, requests: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Carries one call as one stream."""
        deployment = await self._deployment(context)
        if self._plane.is_draining:
            await _fail(context, EndCode.EDGE_DRAINING, "", TABLE[EndCode.EDGE_DRAINING].close_code, deployment.id)
        await _GrpcStream(self._plane, deployment, context).run()

    async def GetModel(
        self, request: inference_pb2.GetModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inference_pb2.GetModelResponse:
        """Describes the deployment that the metadata names."""
        deployment = await self._deployment(context)
        return inference_pb2.GetModelResponse(
            name=deployment.name,
            deployment_id=deployment.id,
            environments=deployment.environments,
            ready_replicas=self._plane.placement.ready_count(deployment.id, self._plane.now()),
        )

    async def _deployment(self, context: grpc.aio.ServicerContext[Any, Any]) -> Deployment:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}

        def first(keys: tuple[str, ...]) -> str | None:
            return next((metadata[key] for key in keys if metadata.get(key)), None)

        name = first(_MODEL_KEYS)
        found = self._plane.table.by_name(
            name, environment=first(_ENVIRONMENT_KEYS), deployment_id=first(_DEPLOYMENT_KEYS)
        )
        if found is None:
            text = f"{TABLE[EndCode.NOT_FOUND].reason} Name it in the metadata '{_MODEL_KEYS[0]}'."
            record_refusal("", EndCode.NOT_FOUND, 404, self._plane.metrics)
            await _fail(context, EndCode.NOT_FOUND, text, TABLE[EndCode.NOT_FOUND].close_code, "")
        return found


class _GrpcStream:
    """One call of InferenceService.Stream: owner of the opening, then sink of the stream."""

    def __init__(self, plane: DataPlane, deployment: Deployment, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._plane = plane
        self._deployment = deployment
        self._context = context
        self._stream_id = plane.next_stream_id()
        self._stream: TrunkStream | None = None
        self._replica_id = ""
        self._refusal: trunk_pb2.RejectStream | None = None
        self._opened: asyncio.Future[None] = plane.loop.create_future()
        self._out: deque[tuple[int, bytes, int]] = deque()
        """Messages for the caller: kind, data, and the bytes of credit that are returned with them (-1: none)."""
        self._held_bytes = 0
        self._held_segments = 0
        self._parts = BytesIO()
        self._parts_kind = 0
        self._has_output: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._closing: Closing | None = None
        self._bytes = [0, 0]
        self._messages = [0, 0]
        self._started_at = plane.now()

    async def run(self) -> None:
        """Opens, relays both ways, and ends the call."""
        opening = Opening(self._plane, self._deployment, self._request(), self)
        reading: asyncio.Task[None] | None = None
        end_code, close_code = EndCode.CLIENT_GONE, ABNORMAL
        try:
            opening.start()
            await self._opened
            if self._refusal is not None:
                row = end(self._refusal.code)
                record_refusal(self._deployment.name, row.code, row.http_status, self._plane.metrics)
                await _fail(
                    self._context,
                    row.code,
                    refusal_text(self._refusal),
                    row.close_code,
                    self._deployment.id,
                    self._refusal.retry_after_seconds,
                )
            # With no entry at all, a call that fails at once could not be told from one that was never accepted.
            await self._context.send_initial_metadata((("penstock-stream-id", self._stream_id),))
            reading = self._plane.loop.create_task(self._read(), name=f"grpc reader {self._stream_id}")
            closing = await self._write()
            end_code, close_code = closing.code, closing.close_code
            if close_code not in (1000, 1001):
                await _fail(self._context, closing.code, closing.reason, close_code, self._deployment.id)
            await self._context.write(
                inference_pb2.StreamResponse(close=inference_pb2.Close(code=close_code, reason=closing.reason))
            )
        finally:
            if not self._opened.done() or self._stream is None:
                opening.cancel()
            if self._stream is not None:
                self._finish(end_code, close_code)
            if reading is not None:
                # Cancelling a read cancels the call, which is over here anyway.
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    def _request(self) -> trunk_pb2.OpenStream:
        metadata = [
            (key, value if isinstance(value, str) else value.decode("latin-1"))
            for key, value in self._context.invocation_metadata() or ()
        ]
        return trunk_pb2.OpenStream(
            stream_id=self._stream_id,
            transport=trunk_pb2.TRANSPORT_GRPC,
            path="/",
            raw_path=b"/",
            headers=forwarded_headers(metadata),
            scheme="grpc",
            message_bytes_max=self._deployment.settings.message_bytes_max,
            deployment_id=self._deployment.id,
        )

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        """The runner has given a slot."""
        self._stream = stream
        self._replica_id = replica_id
        self._plane.stream_began()
        now = self._plane.now()
        record_start(self._deployment, now - self._started_at, self._plane.metrics)
        self._started_at = now
        if not self._opened.done():
            self._opened.set_result(None)
        return self

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        """There is no slot."""
        self._refusal = reject
        if not self._opened.done():
            self._opened.set_result(None)

    async def _read(self) -> None:
        """Client to model, until the client half-closes or closes."""
        stream, context = self._stream, self._context
        assert stream is not None
        limit = self._deployment.settings.message_bytes_max
        while True:
            request = await context.read()
            if request is grpc.aio.EOF:
                stream.close(EndCode.CLIENT_CLOSED, 1000)
                return
            if request.WhichOneof("kind") == "close":
                code = request.close.code or 1000
                stream.close(
                    EndCode.CLIENT_CLOSED, code if may_be_sent(code) else 1000, clip_reason(request.close.reason)
                )
                return
            message = request.message
            if message.WhichOneof("payload") == "text":
                kind, data = Kind.TEXT, message.text.encode()
            else:
                kind, data = Kind.BINARY, message.binary
            if len(data) > limit:
                row = TABLE[EndCode.MESSAGE_TOO_BIG]
                stream.close(row.code, row.close_code, row.reason)
                self._end_with(Closing(row.code, row.close_code, row.reason))
                return
            self._bytes[0] += len(data)
            self._messages[0] += 1
            if not stream.send(kind, data):
                self._writable = self._plane.loop.create_future()
                await self._writable

    async def _write(self) -> Closing:
        """Model to client; returns how the model ended."""
        stream, out = self._stream, self._out
        assert stream is not None
        while True:
            while out:
                kind, data, owed = out.popleft()
                message = inference_pb2.Message()
                if kind == Kind.TEXT:
                    message.text = data.decode()
                else:
                    message.binary = data
                await self._context.write(inference_pb2.StreamResponse(message=message))
                self._bytes[1] += len(data)
                self._messages[1] += 1
                if owed >= 0:
                    stream.consumed(owed)
                if self._held_segments and not out:
                    stream.consumed(self._held_bytes, self._held_segments)
                    self._held_bytes = self._held_segments = 0
            if self._closing is not None:
                return self._closing
            self._has_output = self._plane.loop.create_future()
            await self._has_output

    def on_segment(self, kind: int, data: bytes) -> None:
        """A message or segment of the model."""
        if kind <= Kind.TEXT:
            self._out.append((kind, data, len(data)))
        else:
            if kind in (Kind.BINARY_FIRST, Kind.TEXT_FIRST):
                self._parts_kind = Kind.TEXT if kind == Kind.TEXT_FIRST else Kind.BINARY
            self._parts.write(data)
            # A message may be larger than the window, so the credit of its segments is returned before it is whole:
            # at once when the caller has taken everything before it, else when it has.
            if self._out:
                self._held_bytes += len(data)
                self._held_segments += 1
            else:
                self._stream.consumed(len(data))  # type: ignore[union-attr]
            if kind != Kind.LAST:
                return
            self._out.append((self._parts_kind, self._parts.getvalue(), -1))
            self._parts = BytesIO()
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._has_output is not None and not self._has_output.done():
            self._has_output.set_result(None)

    def _end_with(self, closing: Closing) -> None:
        if self._closing is None:
            self._closing = closing
        self._wake_writer()
        self.on_writable()

    def on_writable(self) -> None:
        """What was queued for the model is on its way."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def on_close(self, closing: Closing) -> None:
        """The model has closed, its handler has ended, or the replica is lost."""
        self._end_with(closing)

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """Never called: the opening takes the answer."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """Never called: the opening takes the answer."""

    def _finish(self, code: EndCode, close_code: int) -> None:
        stream, self._stream = self._stream, None
        assert stream is not None
        stream.close(code, close_code, discard=True)
        stream.sink = NO_SINK
        self._plane.stream_over()
        self._plane.stream_ended(self._deployment.id, self._replica_id)
        record_end(
            StreamRecord(
                stream_id=self._stream_id,
                deployment=self._deployment,
                replica_id=self._replica_id,
                code=code,
                close_code=close_code,
                duration_s=self._plane.now() - self._started_at,
                bytes_in=self._bytes[0],
                bytes_out=self._bytes[1],
                messages_in=self._messages[0],
                messages_out=self._messages[1],
            ),
            self._plane.metrics,
        )
