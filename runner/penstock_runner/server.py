"""The runner's gRPC server: trunks of edges, health, reflection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from starlette.types import ASGIApp

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.pump import Writer
from penstock.trunk.served import SERVER_OPTIONS, TRUNK_SERVICE, serve_trunk, trunk_handlers
from penstock.trunk.stream import TrunkStream
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.sessions import Sessions
from penstock_runner.slots import Slots

log = structlog.get_logger("runner")


class RunnerServer:
    """Serves one replica. All methods are for the loop thread; the counts may be read from any thread.

    Args:
        on_change: called after every change of counts or state.
    """

    def __init__(
        self,
        *,
        replica_id: str,
        deployment_id: str,
        settings: PenstockSettings,
        on_change: Callable[[], None],
    ) -> None:
        self._replica_id = replica_id
        self._on_change = on_change
        self._slots = Slots(settings.max_concurrency)
        self._sessions = Sessions(deployment_id, self._slots, settings, on_change)
        self._endpoints: set[Endpoint] = set()
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    @property
    def active_streams(self) -> int:
        """Slots that are held."""
        return self._slots.active

    @property
    def capacity(self) -> int:
        """Slots in all."""
        return self._slots.capacity

    @property
    def streams_total(self) -> int:
        """Streams admitted so far."""
        return self._slots.admitted_total

    @property
    def rejected_total(self) -> int:
        """Streams rejected so far."""
        return self._slots.refused_total

    @property
    def oldest_stream_at_s(self) -> float | None:
        """When the oldest open stream began, seconds since the epoch."""
        return self._sessions.oldest_opened_at_s

    @property
    def draining(self) -> bool:
        """Whether admission is stopped."""
        return self._slots.is_draining

    async def start(self, listen: str) -> str:
        """Binds `listen` ("host:port", port 0 picks one) and serves. Returns the address that is bound.

        Raises:
            OSError: the address cannot be bound.
        """
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers(trunk_handlers(self._connect))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((TRUNK_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            port = server.add_insecure_port(listen)
        except RuntimeError as error:
            await server.stop(None)
            raise OSError(f"cannot listen on {listen}: {error}") from error
        await server.start()
        self._server = server
        return f"{listen.rpartition(':')[0]}:{port}"

    async def announce_ready(self, is_ready: bool) -> None:
        """Sets what the health service answers."""
        status = health_pb2.HealthCheckResponse.SERVING if is_ready else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._health.set("", status)

    def set_model(self, model: LoadedModel, app: ASGIApp | None = None) -> None:
        """Streams are admitted from now on, and requests when there is an `app` for them."""
        self._sessions.set_model(model, app)

    def set_capacity(self, slots: int) -> None:
        """Changes the number of slots; streams that hold one keep it."""
        self._slots.capacity = max(1, slots)
        self._on_change()

    def set_healthy(self, is_healthy: bool) -> None:
        """Admits nothing while the model says that it is not healthy; streams that hold a slot keep it."""
        self._slots.is_healthy = is_healthy
        self._on_change()

    def begin_drain(self, *, if_idle: bool) -> bool:
        """Stops admission; returns False when `if_idle` and a slot is held."""
        did_drain = self._slots.begin_drain(if_idle=if_idle)
        if did_drain:
            for endpoint in self._endpoints:
                endpoint.go_away("draining")
            self._on_change()
        return did_drain

    def end_drain(self) -> None:
        """Admits again."""
        self._slots.end_drain()
        self._on_change()

    def plan_ends(self, grace_s: float, spread_s: float) -> None:
        """Has each open stream ended with REPLICA_DRAINING, at a random time in the last `spread_s` of `grace_s`.

        Takes the place of an earlier plan. Without a spread nothing is planned: who ends the grace ends the streams.
        """
        self._sessions.end_nothing()
        if spread_s > 0:
            self._sessions.end_within(EndCode.REPLICA_DRAINING, grace_s, spread_s)

    def drop_plan(self) -> None:
        """Takes `plan_ends` back; streams that it has ended stay ended."""
        self._sessions.end_nothing()

    async def wait_idle(self) -> None:
        """Returns when no slot is held."""
        await self._sessions.wait_idle()

    async def stop(self, grace: float) -> int:
        """Waits up to `grace` seconds for open streams, ends the rest with REPLICA_DRAINING, and stops serving.

        Returns how many streams were cut, those that a plan has ended included.
        """
        self.begin_drain(if_idle=False)
        cut = 0
        try:
            async with asyncio.timeout(grace):
                await self._sessions.wait_idle()
        except TimeoutError:
            cut = self._sessions.end_all(EndCode.REPLICA_DRAINING)
            try:
                # Time for handlers to clean up, and for the closes to reach the edges.
                async with asyncio.timeout(2.0):
                    await self._sessions.wait_idle()
            except TimeoutError:
                log.warning("handlers_ignore_cancellation", streams=self._slots.active)
        if self._server is not None:
            await self._server.stop(0.2)
        return cut + self._sessions.planned_ends_total

    async def _connect(self, _: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        """Serves one trunk until the edge or the connection ends it."""
        writer = Writer()
        endpoint: Endpoint

        def on_open(stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
            self._sessions.open(endpoint, stream, request)

        def on_end(detail: str) -> None:
            self._endpoints.discard(endpoint)
            log.info("trunk_ended", edge=endpoint.peer_name, detail=detail)

        endpoint = Endpoint(Role.RUNNER, self._replica_id, on_output=writer.wake, on_open=on_open)
        self._endpoints.add(endpoint)
        if self._slots.is_draining:
            endpoint.go_away("draining")
        await serve_trunk(context, endpoint, writer, on_end=on_end)
