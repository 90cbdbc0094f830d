"""One call between chainlets: the stream of the calling runner, relayed to a replica of the callee."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from google.protobuf.message import DecodeError

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, TABLE, EndCode, end
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.stream import NO_SINK, Closing, StreamSink, TrunkStream
from penstock_edge.ended import record_end, record_refusal, record_request, record_request_start, record_start
from penstock_edge.leftover import Leftover
from penstock_edge.liveness import Due, Liveness
from penstock_edge.opening import RETRY_AFTER_S, Opening
from penstock_edge.plane import DataPlane
from penstock_edge.relay_way import Way
from penstock_edge.routing import Deployment

CLOSE_TIMEOUT_S = 10.0
"""Time for a caller to take what is left of a stream that has ended; then it is counted as over, and no drain waits for
it. What is left, at most a window, stays for a slow caller: to drop it would cut the stream and call it a good end."""

GONE = Closing(EndCode.CLIENT_GONE, ABNORMAL, "")


class InnerStream:
    """Sink of the caller's stream and owner of the opening; then both ends of the relay.

    "In" is from the caller to the callee, as for any client.

    Args:
        caller: the caller's stream; nothing but its opening has come yet.
        request: what the caller has sent. It is passed on, with what only an edge knows.
        client: "host:port" of the caller; empty when it is not known.
        on_over: called once, when nothing of the stream is left here.
    """

    transport_name: ClassVar[str] = "chain"

    __slots__ = (
        "_caller",
        "_closing",
        "_endpoint",
        "_in",
        "_is_request",
        "_last_at",
        "_liveness",
        "_on_over",
        "_opening",
        "_out",
        "_plane",
        "_timer",
        "client",
        "deployment",
        "head_at",
        "opened_at",
        "replica_id",
        "status",
        "stream_id",
    )

    def __init__(
        self,
        plane: DataPlane,
        deployment: Deployment,
        endpoint: Endpoint,
        caller: TrunkStream,
        request: trunk_pb2.OpenStream,
        *,
        client: str,
        on_over: Callable[[InnerStream], None],
    ) -> None:
        self._plane = plane
        self.deployment = deployment
        self._endpoint = endpoint
        self._caller = caller
        self.client = client
        self._on_over = on_over
        self.stream_id = plane.next_stream_id()
        self.replica_id = ""
        self._is_request = request.transport == trunk_pb2.TRANSPORT_HTTP
        self.opened_at = self._last_at = plane.now()
        """The first is the time of the request until there is a slot."""
        self.head_at = 0.0
        """When the response began; 0 before that."""
        self.status = 0
        """HTTP status of the response; 0 when there is none."""
        self._closing: Closing | None = None
        """How the stream ended; None until then."""
        self._in: Way | None = None
        self._out: Way | None = None
        self._liveness: Liveness | None = None
        self._timer: asyncio.TimerHandle | None = None
        request.stream_id = self.stream_id
        request.message_bytes_max = deployment.settings.message_bytes_max
        request.ClearField("identity")
        self._opening: Opening | None = Opening(plane, deployment, request, self)
        caller.sink = self

    def start(self) -> None:
        """Asks for a slot."""
        assert self._opening is not None
        if self._is_request:
            self._timer = self._plane.loop.call_later(self.deployment.settings.predict_timeout_s, self._too_slow)
        self._opening.start()

    # What lists and records read

    @property
    def bytes_in(self) -> int:
        """Bytes from the caller; a body that came with the opening included."""
        return self._in.bytes if self._in is not None else 0

    @property
    def bytes_out(self) -> int:
        """Bytes from the callee."""
        return self._out.bytes if self._out is not None else 0

    @property
    def messages_in(self) -> int:
        """Messages from the caller; a request is one."""
        return (self._in.messages if self._in is not None else 0) + self._is_request

    @property
    def messages_out(self) -> int:
        """Messages from the callee."""
        return self._out.messages if self._out is not None else 0

    def client_address(self) -> str:
        """Returns "host:port" of the caller's connection; empty when it is not known."""
        return self.client

    def silent_for(self, now: float) -> float:
        """Returns seconds since the last segment either way."""
        return now - self._last_at

    # Calls of the opening

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        """The callee's replica has given a slot."""
        assert self._opening is not None
        body_bytes = len(self._opening.request.body)
        self._opening = None
        self.replica_id = replica_id
        way_in, way_out = Way(self, self._caller, stream), Way(self, stream, self._caller)
        way_in.back, way_out.back = way_out, way_in
        way_in.bytes = body_bytes
        self._in, self._out = way_in, way_out
        now = self._plane.now()
        waited_s = now - self.opened_at
        if self._is_request:
            record_request_start(self.deployment, waited_s, self._plane.metrics)
        else:
            record_start(self.deployment, waited_s, self._plane.metrics)
            # The trunks have pings of their own; of the clocks, those for idle time and age remain.
            self._liveness = Liveness(replace(self.deployment.settings, ping_interval_s=0.0), now)
            self._arm()
        self.opened_at = self._last_at = now
        self._plane.stream_began(self)
        self._caller.sink = way_in
        self._endpoint.accept(self._caller, accept)
        return way_out

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        """There is no slot."""
        self._opening = None
        row = end(reject.code)
        record_refusal(self.deployment.name, row.code, reject.http_status or row.http_status, self._plane.metrics)
        self._endpoint.reject(self._caller, reject)
        self._over()

    def deployment_changed(self, deployment: Deployment) -> None:
        """Never called: chainlets are asked for by their id."""

    # Sink of the caller's stream until there is a slot

    def on_close(self, closing: Closing) -> None:
        """The caller has left before there was a slot."""
        assert self._opening is not None
        opening, self._opening = self._opening, None
        opening.cancel()
        self._caller.close(*GONE, discard=True)
        self._over()

    def on_segment(self, kind: int, data: bytes) -> None:
        """Never called: the endpoint lets no data through before the answer."""

    def on_writable(self) -> None:
        """Never called: nothing was sent."""

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """Never called on this side of a trunk."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """Never called on this side of a trunk."""

    # Calls of the two ways

    def may_pass(self, way: Way, data: bytes) -> bool:
        """Looks at what passes: the head of a response, and messages that are too large."""
        self._last_at = self._plane.now()
        if self._liveness is not None:
            self._liveness.message = True
        if way is self._out:
            if self._is_request and not self.head_at:
                self.head_at = self._last_at
                self.status = response_status(data)
                self._cancel_timer()
            return True
        size = way.bytes if self._is_request else way.message_bytes
        if size > self.deployment.settings.message_bytes_max:
            self.end(EndCode.MESSAGE_TOO_BIG)
            return False
        return self._closing is None

    def source_closed(self, way: Way, closing: Closing) -> None:
        """One of both has ended the stream."""
        if self._closing is not None:
            # The caller's answer, or the callee's: what was still on its way to the caller has gone.
            if way is self._in:
                self._over()
            return
        if way is self._in:
            is_gone = closing.code is not EndCode.CLIENT_CLOSED
            self._end_both(closing, callee=True, discard=is_gone)
        else:
            self._end_both(closing, callee=False, discard=False)

    # Ends from the edge's side

    def end(self, code: EndCode) -> None:
        """Ends the stream both ways; refuses one that still waits for its slot."""
        row = TABLE[code]
        if self._opening is not None:
            self._opening.cancel()
            self.stream_refused(trunk_pb2.RejectStream(code=code, retry_after_seconds=RETRY_AFTER_S))
        elif self._closing is None:
            self._end_both(Closing(code, row.close_code, row.reason), callee=True, discard=True)

    def end_by_operator(self, close_code: int, reason: str) -> bool:
        """Ends the stream as an operator asks; returns False when its end has already begun."""
        if self._closing is not None or self._in is None:
            return False
        self._end_both(Closing(EndCode.OPERATOR_CLOSED, close_code, reason), callee=True, discard=True)
        return True

    def _too_slow(self) -> None:
        self._timer = None
        self.end(EndCode.REQUEST_TIMEOUT)

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

    def _end_both(self, closing: Closing, *, callee: bool, discard: bool) -> None:
        """Tells both sides. What the callee has sent still reaches a caller that has not left.

        Args:
            callee: it does not know of the end yet.
            discard: drops what the callee has not got yet.
        """
        way_in, way_out = self._in, self._out
        assert way_in is not None and way_out is not None
        self._closing = closing
        self._cancel_timer()
        stream = way_out.source
        if callee:
            way_in.finish(closing, discard=discard)
        else:
            stream.close(closing.code, closing.close_code, discard=True)
        way_out.finish(closing, discard=self._caller.is_remote_closed)
        if stream.is_remote_closed:
            stream.sink = NO_SINK
            self._plane.stream_ended(self.deployment.id, self.replica_id)
        else:
            stream.sink = Leftover(self._plane, self.deployment.id, self.replica_id)
        if self._caller.is_blocked:
            self._timer = self._plane.loop.call_later(CLOSE_TIMEOUT_S, self._over)
        else:
            self._over()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._cancel_timer()
        self._caller.sink = NO_SINK
        if self._closing is not None:
            code, close_code, _ = self._closing
            self._plane.stream_over(self)
            if self._is_request:
                record_request(self, code, self.head_at, self._plane.now(), self._plane.metrics)
            else:
                record_end(self, code, close_code, self._plane.now(), self._plane.metrics)
        self._on_over(self)


def response_status(data: bytes) -> int:
    """Returns the status of a response by the first segment of it; 0 when it cannot be read.

    The status is field 1, so it stands in front; the rest of the head may be 128 KiB.
    """
    if len(data) > 2 and data[0] == 0x08 and data[1] >= 0x80 and data[2] < 0x80:
        return data[1] & 0x7F | data[2] << 7
    try:
        return trunk_pb2.ResponseHead.FromString(data).status
    except DecodeError:
        return 0
