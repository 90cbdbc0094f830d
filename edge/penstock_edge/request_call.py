"""One request to a model, carried as one stream of a trunk.

Whoever asks (HTTP, gRPC, a message of a WebSocket connection) gets the head of the response and then its parts.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, TABLE, EndCode, end
from penstock.trunk.response import ResponseStream
from penstock.trunk.stream import NO_SINK, StreamSink, TrunkStream
from penstock_edge.ended import record_request, record_request_start
from penstock_edge.leftover import Leftover
from penstock_edge.open_streams import address_text
from penstock_edge.opening import RETRY_AFTER_S, Opening, refusal_text
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment

BODY_PART_BYTES_MAX = 256 * 1024
"""Largest first part of a body: it travels with the opening, which is tried at one replica after the other."""

BODY_SILENCE_S = 60.0
"""Time for the next bytes of a body."""

PREDICT_PATH = b"/v1/models/model:predict"


class CallFailedError(Exception):
    """There is no response, or no more of it.

    Args:
        retry_after: seconds, 0 when not known.
    """

    def __init__(self, code: EndCode, text: str = "", *, status: int = 0, retry_after: int = 0) -> None:
        row = TABLE[code]
        super().__init__(text or row.reason)
        self.code = code
        self.status = status if 400 <= status <= 599 else row.http_status
        self.text = text or row.reason
        self.retry_after = retry_after


class RequestCall(ResponseStream):
    """Owner of the opening, then sink of the stream. Loop thread only; one task awaits it.

    Use: `head = await call.start()`, then `part = await call.next_part()` until None; `close()` in any case.

    Args:
        transport: "http", "grpc" or "websocket", for lists of open streams.
        body: the first part of the body, at most BODY_PART_BYTES_MAX.
        body_follows: further parts come by `send_body`, which begins with the call's slot.
    """

    __slots__ = (
        "_head_at",
        "_opening",
        "_plane",
        "_timeout",
        "attempts",
        "client",
        "deployment",
        "is_open",
        "messages_in",
        "on_open",
        "opened_at",
        "replica_id",
        "status",
        "stream_id",
        "transport_name",
    )

    def __init__(
        self,
        plane: DataPlane,
        deployment: Deployment,
        *,
        headers: list[common_pb2.Header],
        body: bytes,
        body_follows: bool = False,
        method: str = "POST",
        path: bytes = PREDICT_PATH,
        query: bytes = b"",
        client: tuple[str, int] | None = None,
        transport: str = "http",
        scheme: str = "http",
        timeout_s: float | None = None,
    ) -> None:
        super().__init__(plane.loop)
        self._plane = plane
        self.deployment = deployment
        self.transport_name = transport
        self.stream_id = plane.next_stream_id()
        self.client = client
        self.replica_id = ""
        self.opened_at = plane.now()
        """The time of the request until there is a slot."""
        self.bytes_in = len(body)
        self.messages_in = 1
        self.status = 0
        """HTTP status of the response; 0 before there is one."""
        self.attempts = 0
        """How often a replica was asked for the slot."""
        self.is_open = False
        """It has a slot, and its end has not come."""
        self.on_open: asyncio.Future[None] | None = None
        """Set by who sends more body: done when there is a slot, or none will be."""
        self._head_at = 0.0
        self._timeout = plane.loop.call_later(
            deployment.settings.predict_timeout_s if timeout_s is None else timeout_s, self._too_slow
        )
        request = trunk_pb2.OpenStream(
            stream_id=self.stream_id,
            transport=trunk_pb2.TRANSPORT_HTTP,
            path=unquote(path.decode("latin-1")) if b"%" in path else path.decode("latin-1"),
            raw_path=path,
            query=query,
            headers=headers,
            client=common_pb2.ClientAddress(host=client[0], port=client[1]) if client else None,
            scheme=scheme,
            message_bytes_max=deployment.settings.message_bytes_max,
            deployment_id=deployment.id,
            method=method,
            model_path=path,
            body=body,
            body_follows=body_follows,
        )
        self._opening: Opening | None = Opening(plane, deployment, request, self)
        plane.calls.add(self)

    # Calls of who asks

    async def start(self) -> trunk_pb2.ResponseHead:
        """Returns the head of the response. Its body is the first part; with `body_follows` more come by `next_part`.

        Raises:
            CallFailedError: there is no response.
        """
        self.begin()
        return await self.head()

    def begin(self) -> None:
        """Asks for a slot, unless the call has failed already."""
        assert self._opening is not None
        if self._failure is None:
            self._opening.start()

    def client_gone(self) -> None:
        """Nobody waits for the response any more; the model is told."""
        self._fail(CallFailedError(EndCode.CLIENT_GONE))

    def close(self) -> None:
        """Lets go of everything; the model is told when its response was not taken whole."""
        self._timeout.cancel()
        self._plane.calls.discard(self)
        if self._opening is not None:
            opening, self._opening = self._opening, None
            opening.cancel()
        stream, self._stream = self._stream, None
        if stream is None:
            return
        closing, failure = self._closing, self._failure
        if isinstance(failure, CallFailedError):
            code = failure.code
        else:
            code = closing.code if closing is not None else EndCode.CLIENT_GONE
        stream.close(code, 1000 if code is EndCode.COMPLETED else ABNORMAL, discard=True)
        if stream.is_remote_closed:
            stream.sink = NO_SINK
            self._plane.stream_ended(self.deployment.id, self.replica_id)
        else:
            stream.sink = Leftover(self._plane, self.deployment.id, self.replica_id)
        self.is_open = False
        self._plane.stream_over(self)
        record_request(self, code, self._head_at, self._plane.now(), self._plane.metrics)

    # Calls of the opening

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        """There is a slot."""
        assert self._opening is not None
        self.attempts = self._opening.attempts
        self._opening = None
        self._stream = stream
        self.replica_id = replica_id
        self.is_open = True
        now = self._plane.now()
        record_request_start(self.deployment, now - self.opened_at, self._plane.metrics)
        self._plane.stream_began(self)
        if self.on_open is not None and not self.on_open.done():
            self.on_open.set_result(None)
        return self

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        """There is no slot."""
        self._opening = None
        row = end(reject.code)
        self._fail(
            CallFailedError(
                row.code, refusal_text(reject), status=reject.http_status, retry_after=reject.retry_after_seconds
            )
        )

    def deployment_changed(self, deployment: Deployment) -> None:
        """Another deployment has taken the place of the one that was asked for."""
        self.deployment = deployment

    # Calls of the response

    def _failure_of(self, code: EndCode, text: str = "") -> CallFailedError:
        return CallFailedError(code, text, retry_after=RETRY_AFTER_S if TABLE[code].retryable else 0)

    def _head_came(self, head: trunk_pb2.ResponseHead) -> None:
        self.status = head.status
        self._head_at = self._plane.now()
        self._timeout.cancel()

    # Calls of the data plane

    def end(self, code: EndCode) -> None:
        """Ends the call from the edge's side."""
        self._fail(CallFailedError(code, retry_after=RETRY_AFTER_S))

    def end_by_operator(self, close_code: int, reason: str) -> bool:
        """Ends the call as an operator asks; returns False when its end has already begun."""
        if self._failure is not None or self._closing is not None:
            return False
        self._fail(CallFailedError(EndCode.OPERATOR_CLOSED, reason))
        return True

    def client_address(self) -> str:
        """Returns "host:port"; empty when it is not known."""
        return address_text(*self.client) if self.client is not None else ""

    def silent_for(self, now: float) -> float:
        """Returns seconds since the head of the response, else since the slot."""
        return now - (self._head_at or self.opened_at)

    def fail(self, failure: CallFailedError) -> None:
        """Ends the call; whoever awaits it gets `failure`."""
        self._fail(failure)

    def _too_slow(self) -> None:
        self._fail(CallFailedError(EndCode.REQUEST_TIMEOUT))

    def _fail(self, failure: Exception) -> None:
        super()._fail(failure)
        if self.on_open is not None and not self.on_open.done():
            self.on_open.set_result(None)
