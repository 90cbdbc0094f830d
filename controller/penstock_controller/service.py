"""The controller's gRPC server."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2, control_pb2_grpc
from penstock_controller.artifacts import ArtifactStore
from penstock_controller.edge_queries import EdgeQueries
from penstock_controller.reconciler import Reconciler
from penstock_controller.services.changing import Admin
from penstock_controller.services.edge_session import EdgeSessions
from penstock_controller.services.reading import AdminParts
from penstock_controller.services.runner_registry import RunnerRegistry
from penstock_controller.sessions import RunnerSessions
from penstock_controller.status_view import ControllerFacts

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Largest request or answer: the status of some 50,000 replicas."""

# Peers ping every 20 s and more (see facts on gRPC conventions); the default of the server answers that with GOAWAY.
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

SERVICES = (
    control_pb2.DESCRIPTOR.services_by_name["RunnerRegistryService"].full_name,
    control_pb2.DESCRIPTOR.services_by_name["EdgeSessionService"].full_name,
    admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name,
)


class AddressError(Exception):
    """The address cannot be listened on; the text says why."""


class ControllerServer:
    """Bound at once, serving from `start` on: what connects in between waits."""

    def __init__(self, listen: str) -> None:
        """Binds "host:port" or "unix:/path" (mode 0600).

        Raises:
            AddressError: It cannot be bound.
        """
        self._server = grpc.aio.server(options=_OPTIONS)
        self._health = health.aio.HealthServicer()
        self._sessions: tuple[RunnerSessions | EdgeSessions | Admin, ...] = ()
        self.address = self._bind(listen)
        """Where it listens, with the port that was chosen for port 0."""

    def add_services(
        self, reconciler: Reconciler, facts: ControllerFacts, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        control_pb2_grpc.add_RunnerRegistryServiceServicer_to_server(RunnerRegistry(reconciler), self._server)
        queries = EdgeQueries()
        edges = EdgeSessions(reconciler, queries)
        self._server.add_generic_rpc_handlers((edges.handler(),))
        artifacts = ArtifactStore(Path(facts.state_dir) / "artifacts", wall, reconciler.world.artifacts_in_use)
        admin = Admin(AdminParts(reconciler, queries, facts, clock, wall, artifacts))
        admin_pb2_grpc.add_AdminServiceServicer_to_server(admin, self._server)
        self._sessions = (reconciler.world.sessions, edges, admin)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self) -> None:
        await self._server.start()
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        await self._health.enter_graceful_shutdown()
        # Ended, not cancelled: grpc.aio logs every cancelled handler as an error.
        for sessions in self._sessions:
            sessions.close()
        await self._server.stop(grace_s)

    def _bind(self, listen: str) -> str:
        # A socket is made with the mode that the umask leaves; there must be no moment in which others may connect.
        before = os.umask(0o177)
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as exc:
            raise AddressError(f"cannot listen on {listen}: it is in use, or not an address of this machine") from exc
        finally:
            os.umask(before)
        if listen.startswith("unix:"):
            Path(listen.removeprefix("unix:")).chmod(0o600)
            return listen
        return f"{listen.rpartition(':')[0]}:{port}"


def is_local(address: str) -> bool:
    """Tells whether only this machine can reach "host:port" or "unix:/path".

    Raises:
        AddressError: It is neither.
    """
    if address.startswith("unix:/"):
        return True
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise AddressError(f"--listen: must be host:port or unix:/path, got {address!r}")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
