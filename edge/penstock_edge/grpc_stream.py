"""One call of InferenceService.Stream, carried as one stream of a trunk."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from io import BytesIO
from typing import Any, ClassVar, NoReturn
from urllib.parse import unquote

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from penstock.api.common.v1 import common_pb2
from penstock.api.inference.v1 import inference_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, TABLE, EndCode, clip_reason, end, may_be_sent
from penstock.trunk.batch import Kind
from penstock.trunk.stream import NO_SINK, Closing, StreamSink, TrunkStream
from penstock_edge.ended import record_end, record_refusal, record_start
from penstock_edge.headers import forwarded_headers
from penstock_edge.leftover import Leftover
from penstock_edge.liveness import Due, Liveness
from penstock_edge.open_streams import address_text
from penstock_edge.opening import RETRY_AFTER_S, Opening, refusal_text
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment

CANCELLATION_S = 0.02
"""Time for the news that a call was cancelled to follow the end of its requests."""

CLOSE_TIMEOUT_S = 10.0
"""Time for a caller to take what is left of a stream that has ended; then it is counted as over.

The call itself cannot be cut from here: gRPC sends the status behind what the caller does not take."""


class GrpcStream:
    """One call of InferenceService.Stream: owner of the opening, then sink of the stream."""

    transport_name: ClassVar[str] = "grpc"

    __slots__ = (
        "_closing",
        "_context",
        "_has_output",
        "_held_bytes",
        "_held_segments",
        "_last_message_at",
        "_liveness",
        "_opened",
        "_out",
        "_parts",
        "_parts_kind",
        "_plane",
        "_refusal",
        "_stream",
        "_timer",
        "_writable",
        "bytes_in",
        "bytes_out",
        "deployment",
        "messages_in",
        "messages_out",
        "opened_at",
        "replica_id",
        "stream_id",
    )

    def __init__(self, plane: DataPlane, deployment: Deployment, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._plane = plane
        self.deployment = deployment
        self._context = context
        self.stream_id = plane.next_stream_id()
        self._stream: TrunkStream | None = None
        self.replica_id = ""
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
        self.bytes_in = self.bytes_out = self.messages_in = self.messages_out = 0
        self.opened_at = self._last_message_at = plane.now()
        """The first is the time of the request until there is a slot."""
        self._liveness: Liveness | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Opens, relays both ways, and ends the call."""
        opening = Opening(self._plane, self.deployment, self._request(), self)
        reading: asyncio.Task[None] | None = None
        try:
            opening.start()
            await self._opened
            if self._refusal is not None:
                row = end(self._refusal.code)
                record_refusal(self.deployment.name, row.code, row.http_status, self._plane.metrics)
                await fail_call(
                    self._context,
                    row.code,
                    refusal_text(self._refusal),
                    row.close_code,
                    self.deployment.id,
                    self._refusal.retry_after_seconds,
                )
            # With no entry at all, a call that fails at once could not be told from one that was never accepted.
            await self._context.send_initial_metadata((("penstock-stream-id", self.stream_id),))
            reading = self._plane.loop.create_task(self._read(), name=f"grpc reader {self.stream_id}")
            reading.add_done_callback(_taken_note_of)
            closing = await self._write()
            code, close_code, reason = closing
            is_failure = TABLE[code].grpc_status != grpc.StatusCode.OK.name or close_code not in (1000, 1001)
            if not is_failure or code is EndCode.OPERATOR_CLOSED:
                last = inference_pb2.Close(code=close_code, reason=reason)
                await self._context.write(inference_pb2.StreamResponse(close=last))
            if is_failure:
                await fail_call(self._context, code, reason, close_code, self.deployment.id)
        finally:
            if not self._opened.done() or self._stream is None:
                opening.cancel()
            if self._timer is not None:
                self._timer.cancel()
            if self._stream is not None:
                self._finish(self._closing or Closing(EndCode.CLIENT_GONE, ABNORMAL, ""))
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
            stream_id=self.stream_id,
            transport=trunk_pb2.TRANSPORT_GRPC,
            path="/",
            raw_path=b"/",
            headers=forwarded_headers(metadata),
            client=peer_address(self._context.peer()),
            scheme="grpc",
            message_bytes_max=self.deployment.settings.message_bytes_max,
            deployment_id=self.deployment.id,
        )

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        """The runner has given a slot."""
        self._stream = stream
        self.replica_id = replica_id
        now = self._plane.now()
        record_start(self.deployment, now - self.opened_at, self._plane.metrics)
        self.opened_at = self._last_message_at = now
        self._plane.stream_began(self)
        # Pings are HTTP/2's here; of the clocks, those for idle time and age remain.
        self._liveness = Liveness(replace(self.deployment.settings, ping_interval_s=0.0), now)
        self._arm()
        if not self._opened.done():
            self._opened.set_result(None)
        return self

    def deployment_changed(self, deployment: Deployment) -> None:
        """Another deployment has taken the place of the one that was asked for."""
        self.deployment = deployment

    def _arm(self) -> None:
        due = self._liveness.next_check() if self._liveness is not None else None
        if due is not None:
            self._timer = self._plane.loop.call_at(due, self._check_liveness)

    def _check_liveness(self) -> None:
        assert self._liveness is not None
        self._timer = None
        due = self._liveness.check(self._plane.now(), is_reading=True)
        if due in (Due.IDLE_TIMEOUT, Due.STREAM_TOO_OLD):
            self.end(EndCode.IDLE_TIMEOUT if due is Due.IDLE_TIMEOUT else EndCode.STREAM_TOO_OLD)
        else:
            self._arm()

    def _message_passed(self) -> None:
        self._last_message_at = self._plane.now()
        if self._liveness is not None:
            self._liveness.message = True

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        """There is no slot."""
        self._refusal = reject
        if not self._opened.done():
            self._opened.set_result(None)

    async def _read(self) -> None:
        """Client to model, until the client half-closes or closes."""
        stream, context = self._stream, self._context
        assert stream is not None
        limit = self.deployment.settings.message_bytes_max
        while True:
            request = await context.read()
            if request is grpc.aio.EOF:
                # A cancelled call reads as ended too. The cancellation comes right behind it, and ends this task.
                await asyncio.sleep(CANCELLATION_S)
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
                self.end(EndCode.MESSAGE_TOO_BIG)
                return
            self.bytes_in += len(data)
            self.messages_in += 1
            self._message_passed()
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
                self.bytes_out += len(data)
                self.messages_out += 1
                self._message_passed()
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

    def end(self, code: EndCode) -> None:
        """Ends the stream from the edge's side, both ways; refuses a call that still waits for its slot."""
        row = TABLE[code]
        if not self._opened.done():
            self.stream_refused(trunk_pb2.RejectStream(code=code, retry_after_seconds=RETRY_AFTER_S))
        else:
            self._end_both(Closing(code, row.close_code, row.reason))

    def end_by_operator(self, close_code: int, reason: str) -> bool:
        """Ends the stream with a code and reason that an operator has chosen."""
        return self._end_both(Closing(EndCode.OPERATOR_CLOSED, close_code, reason))

    def _end_both(self, closing: Closing) -> bool:
        """Tells model and caller; returns False when the end has already begun."""
        if self._stream is None or self._closing is not None:
            return False
        self._stream.close(*closing)
        self._end_with(closing)
        return True

    def _end_with(self, closing: Closing) -> None:
        if self._closing is None:
            self._closing = closing
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._plane.loop.call_later(CLOSE_TIMEOUT_S, self._give_up, closing)
        self._wake_writer()
        self.on_writable()

    def _give_up(self, closing: Closing) -> None:
        """The caller takes nothing: the stream is over, whatever becomes of the call."""
        self._timer = None
        self._finish(closing)

    def client_address(self) -> str:
        """Returns "host:port" of the peer; empty on a unix socket."""
        peer = peer_address(self._context.peer())
        return address_text(peer.host, peer.port) if peer is not None else ""

    def silent_for(self, now: float) -> float:
        """Returns seconds since the last message either way."""
        return now - self._last_message_at

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

    def _finish(self, closing: Closing) -> None:
        code, close_code, _ = closing
        stream, self._stream = self._stream, None
        if stream is None:
            return
        stream.close(code, close_code, discard=True)
        if stream.is_remote_closed:
            stream.sink = NO_SINK
            self._plane.stream_ended(self.deployment.id, self.replica_id)
        else:
            stream.sink = Leftover(self._plane, self.deployment.id, self.replica_id)
        self._plane.stream_over(self)
        record_end(self, code, close_code, self._plane.now(), self._plane.metrics)


async def fail_call(
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


def peer_address(peer: str) -> common_pb2.ClientAddress | None:
    """Reads gRPC's form of an address, "ipv4:HOST:PORT" or "ipv6:[HOST]:PORT"; None for any other."""
    family, _, address = peer.partition(":")
    host, _, port = unquote(address).rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    return common_pb2.ClientAddress(host=host.strip("[]"), port=int(port))


def _taken_note_of(reading: asyncio.Task[None]) -> None:
    """A read of a call that was aborted fails. That says nothing new, and must not be logged as a lost failure."""
    if not reading.cancelled():
        reading.exception()
