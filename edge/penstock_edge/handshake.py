"""An upgrade request of a client: from its arrival to the answer.

When a runner has given the stream a slot, the socket goes on to `websocket.EdgeWebSocket`; everything that only the
upgrade needs is let go of here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode, end
from penstock.trunk.stream import StreamSink, TrunkStream
from penstock_edge.compressed import deflate_extensions
from penstock_edge.ended import record_refusal, record_start
from penstock_edge.headers import answer_headers, forwarded_headers
from penstock_edge.message_requests import MessageRequests
from penstock_edge.opening import Opening
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment, Route
from penstock_edge.tcp import keep_alive
from penstock_edge.upgrade import open_stream_request, refusal_response, split_target
from penstock_edge.websocket import EdgeWebSocket

EARLY_BYTES_MAX = 64 * 1024
"""What a client may send before its upgrade is answered; then its socket is not read."""

CONTROL_BYTES_MAX = 125
"""Largest payload that the library parses on an open connection: that of a control frame."""

_log = logging.getLogger("penstock.edge.websockets")
_log.setLevel(logging.WARNING)


class WebSocketHandshake(asyncio.Protocol):
    """One upgrade request. Made by uvicorn; ends in an EdgeWebSocket or in a refusal."""

    __slots__ = (
        "_began_at",
        "_deployment",
        "_early",
        "_is_over",
        "_is_reading",
        "_opening",
        "_plane",
        "_protocol",
        "_response",
        "_server_state",
        "_stream_id",
        "_subprotocols",
        "_transport",
    )

    def __init__(self, plane: DataPlane, server_state: Any) -> None:
        self._plane = plane
        self._server_state = server_state
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._protocol = ServerProtocol(max_size=CONTROL_BYTES_MAX, logger=_log)
        self._opening: Opening | None = None
        self._response: Response | None = None
        self._early: bytearray | None = None
        self._deployment: Deployment | None = None
        self._stream_id = ""
        self._subprotocols: tuple[str, ...] = ()
        self._began_at = 0.0
        self._is_reading = True
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """uvicorn hands over the socket."""
        self._transport = cast(asyncio.Transport, transport)
        keep_alive(transport)
        self._server_state.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """The request, or what the client sends before it has an answer."""
        if self._response is not None:
            self._keep_early(data)
        elif not self._is_over:
            self._handshake(data)

    def eof_received(self) -> bool:
        """The client sends nothing more, and so can use no stream."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._server_state.connections.discard(self)
        self._is_over = True
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        self._response = None
        self._early = None

    def shutdown(self) -> None:
        """uvicorn stops, after the edge's own drain."""
        self.end(EndCode.EDGE_DRAINING)

    def end(self, code: EndCode) -> None:
        """Refuses a request that still waits."""
        if self._is_over:
            return
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        self._refuse(code, retry_after=1)

    def _handshake(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._upgrade(event)
                return
        if self._protocol.handshake_exc is not None:
            self._refuse(EndCode.BAD_UPGRADE, str(self._protocol.handshake_exc))

    def _upgrade(self, request: Request) -> None:
        hosts = request.headers.get_all("Host")
        if len(hosts) != 1:  # RFC 9112 section 3.2
            self._refuse(EndCode.BAD_UPGRADE, f"The request has {len(hosts)} Host headers; exactly one is needed.")
            return
        route = self._plane.table.match(hosts[0], split_target(request)[0])
        if route is not None and route.deployment.settings.compression:
            self._protocol.available_extensions = deflate_extensions()
        response = self._protocol.accept(request)
        if response.status_code != 101:
            answer = refusal_response(
                EndCode.BAD_UPGRADE,
                response.body.decode().strip(),
                status=response.status_code,
                headers=[("Allow", value) for value in response.headers.get_all("Allow")],
                is_head=request.method == "HEAD",
            )
            self._answer_refusal(EndCode.BAD_UPGRADE, *answer)
            return
        if route is None and self._plane.snapshot_version == 0:
            self._refuse(EndCode.REPLICA_NOT_READY, "Edge has not heard from its controller yet.", retry_after=1)
            return
        if route is None:
            hint = f"{TABLE[EndCode.NOT_FOUND].reason} WebSocket models are at /model/NAME/websocket."
            self._refuse(EndCode.NOT_FOUND, hint)
            return
        self._deployment = route.deployment
        if self._plane.is_draining:
            self._refuse(EndCode.EDGE_DRAINING, retry_after=1)
            return
        if route.endpoint == "predict":
            self._begin_requests(request, response, route)
            return
        if route.endpoint not in ("websocket", "sync"):
            row = TABLE[EndCode.NOT_WEBSOCKET]
            self._refuse(row.code, f"{row.reason} WebSocket models are at /model/NAME/websocket.")
            return
        self._response = response
        self._stream_id = self._plane.next_stream_id()
        self._began_at = self._plane.now()
        opening = open_stream_request(request, self._transport, route.deployment, self._stream_id, route.suffix)
        self._subprotocols = tuple(opening.subprotocols)
        self._opening = Opening(self._plane, route.deployment, opening, self)
        self._opening.start()

    def _begin_requests(self, request: Request, response: Response, route: Route) -> None:
        """Answers the upgrade at once, without a slot: each message will take its own."""
        self._protocol.send_response(response)
        self._transport.write(b"".join(self._protocol.data_to_send()))
        self._is_over = True
        self._server_state.connections.discard(self)
        connection = MessageRequests(
            self._plane,
            self._server_state,
            self._transport,
            self._protocol,
            route=route,
            headers=forwarded_headers(request.headers.raw_items()),
            query=split_target(request)[1],
        )
        self._transport.set_protocol(connection)

    def _keep_early(self, data: bytes) -> None:
        """Holds what comes before the upgrade is answered."""
        if self._early is None:
            self._early = bytearray()
        self._early += data
        if self._is_reading and len(self._early) > EARLY_BYTES_MAX:
            self._is_reading = False
            self._transport.pause_reading()

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        """The runner has given a slot: the upgrade is answered, and the socket changes hands."""
        assert self._response is not None and self._deployment is not None
        plane, transport = self._plane, self._transport
        self._opening = None
        response, self._response = self._response, None
        response.headers.update(answer_headers(accept.headers))
        if accept.subprotocol in self._subprotocols:
            response.headers["Sec-WebSocket-Protocol"] = accept.subprotocol
        self._protocol.send_response(response)
        transport.write(b"".join(self._protocol.data_to_send()))
        record_start(self._deployment, plane.now() - self._began_at, plane.metrics)
        self._is_over = True
        self._server_state.connections.discard(self)
        connection = EdgeWebSocket(
            plane,
            self._server_state,
            transport,
            self._protocol,
            deployment=self._deployment,
            stream=stream,
            stream_id=self._stream_id,
            replica_id=replica_id,
            is_reading=self._is_reading,
        )
        transport.set_protocol(connection)
        if self._early is not None:
            early, self._early = bytes(self._early), None
            connection.start(early)
        return connection

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        """There is no slot."""
        self._opening = None
        row = end(reject.code)
        self._answer_refusal(
            row.code,
            *refusal_response(
                row.code,
                reject.reason,
                status=reject.http_status,
                retry_after=reject.retry_after_seconds,
                headers=answer_headers(reject.headers),
                body=reject.body,
            ),
        )

    def deployment_changed(self, deployment: Deployment) -> None:
        """Another deployment has taken the place of the one that was asked for."""
        self._deployment = deployment

    def _refuse(self, code: EndCode, text: str = "", *, status: int = 0, retry_after: int = 0) -> None:
        self._answer_refusal(code, *refusal_response(code, text, status=status, retry_after=retry_after))

    def _answer_refusal(self, code: EndCode, status: int, answer: bytes) -> None:
        """Answers the upgrade with an HTTP status, and closes."""
        record_refusal(self._deployment.name if self._deployment else "", code, status, self._plane.metrics)
        self._transport.write(answer)
        self._is_over = True
        self._transport.close()
