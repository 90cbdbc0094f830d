"""Serves trunks for runners: calls between chainlets come in here, and go out to replicas as any client's do."""

from __future__ import annotations

from typing import Any

import grpc.aio
import structlog

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.pump import Writer
from penstock.trunk.served import SERVER_OPTIONS, serve_trunk, trunk_handlers
from penstock.trunk.stream import TrunkStream
from penstock_edge.ended import record_refusal
from penstock_edge.grpc_stream import peer_address
from penstock_edge.inner_stream import InnerStream
from penstock_edge.open_streams import address_text
from penstock_edge.opening import RETRY_AFTER_S
from penstock_edge.plane import DataPlane
from penstock_edge.request_call import BODY_PART_BYTES_MAX

OPENING_BYTES_MAX = BODY_PART_BYTES_MAX + 128 * 1024
"""Largest opening: body, and headers of a size that any server takes. It is passed on in one batch with others, and one
that no batch can hold would end the callee's trunk, with all that is on it."""

log = structlog.get_logger("edge")


class InnerServer:
    """The inner listener of one edge process.

    While the edge drains, callers are asked to go elsewhere; those that know no other edge may go on until the drain is
    over, because the streams that it waits for need their calls.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.streams: set[InnerStream] = set()
        """Streams that are open, or wait for a slot."""
        self._endpoints: set[Endpoint] = set()
        self._is_closed = False
        self._server: grpc.aio.Server | None = None

    async def start(self, listen: str) -> str:
        """Binds `listen` ("host:port", port 0 picks one) and serves; returns the address that is bound.

        Raises:
            OSError: the address cannot be bound.
        """
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers(trunk_handlers(self._connect))
        try:
            port = server.add_insecure_port(listen)
        except RuntimeError as error:
            await server.stop(None)
            raise OSError(f"cannot listen on {listen}: {error}") from error
        await server.start()
        self._server = server
        return f"{listen.rpartition(':')[0]}:{port}"

    def begin_drain(self) -> None:
        """Asks the callers to open their streams elsewhere."""
        for endpoint in self._endpoints:
            endpoint.go_away("draining")

    def close_admission(self) -> None:
        """Refuses every new stream from now on."""
        self._is_closed = True

    async def stop(self) -> None:
        """Ends what is left."""
        self.close_admission()
        for stream in list(self.streams):
            stream.end(EndCode.EDGE_DRAINING)
        if self._server is not None:
            await self._server.stop(0.5)

    async def _connect(self, _: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        """Serves the trunk of one caller."""
        plane = self._plane
        writer = Writer()
        endpoint: Endpoint
        peer = peer_address(context.peer())
        client = address_text(peer.host, peer.port) if peer is not None else ""

        def on_open(stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
            self._open(endpoint, stream, request, client)

        def on_end(detail: str) -> None:
            self._endpoints.discard(endpoint)
            log.info("caller_trunk_ended", caller=endpoint.peer_name, detail=detail)

        endpoint = Endpoint(Role.RUNNER, plane.edge_id, on_output=writer.wake, on_open=on_open)
        self._endpoints.add(endpoint)
        if plane.is_draining:
            endpoint.go_away("draining")
        await serve_trunk(context, endpoint, writer, after_batch=plane.flush, on_end=on_end)

    def _open(self, endpoint: Endpoint, stream: TrunkStream, request: trunk_pb2.OpenStream, client: str) -> None:
        """Relays a new stream, or refuses it."""
        plane = self._plane
        deployment = plane.table.by_id(request.deployment_id)
        if self._is_closed:
            code = EndCode.EDGE_DRAINING
        elif deployment is None:
            code = EndCode.NOT_FOUND
        elif len(request.body) > BODY_PART_BYTES_MAX or request.ByteSize() > OPENING_BYTES_MAX:
            code = EndCode.MESSAGE_TOO_BIG
        else:
            inner = InnerStream(
                plane, deployment, endpoint, stream, request, client=client, on_over=self.streams.discard
            )
            self.streams.add(inner)
            inner.start()
            return
        record_refusal(deployment.name if deployment is not None else "", code, TABLE[code].http_status, plane.metrics)
        endpoint.reject(stream, trunk_pb2.RejectStream(code=code, retry_after_seconds=RETRY_AFTER_S))
