"""One edge process: uvicorn, gRPC, the session with the controller, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from penstock.close_codes import EndCode
from penstock_edge.config import EdgeConfig
from penstock_edge.grpc_stream import GrpcStream
from penstock_edge.handshake import WebSocketHandshake
from penstock_edge.http_app import make_http_app
from penstock_edge.http_protocol import EdgeHttpProtocol
from penstock_edge.inference import InferenceServer
from penstock_edge.inner_server import InnerServer
from penstock_edge.inner_stream import InnerStream
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.open_streams import address_text
from penstock_edge.plane import DataPlane, new_edge_id
from penstock_edge.request_call import RequestCall
from penstock_edge.static import static_snapshot
from penstock_edge.watch import ControllerSession
from penstock_edge.websocket import EdgeWebSocket

log = structlog.get_logger("edge")

BACKLOG = 4096
"""Connections that the kernel holds until they are accepted."""

KEEP_ALIVE_S = 75
"""Seconds for which an idle HTTP connection is kept: longer than proxies in front of it keep theirs (60 s, mostly), so
that none of them sends a request into a connection that is being closed."""

CLOSE_SPREAD_S = 1.0
"""The closes at the end of a drain are spread over this time, so that clients do not all come back at once."""

CLOSE_ANSWER_S = 1.0
"""Time for clients to answer these closes before their connections are ended."""


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handlers: the edge drains first."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tells when it listens."""
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to the edge."""
        yield


async def serve(config: EdgeConfig, listener: socket.socket) -> None:
    """Serves on `listener` until SIGTERM or SIGINT and the drain that follows."""
    loop = asyncio.get_running_loop()
    plane = DataPlane(new_edge_id(), EdgeMetrics())

    def make_websocket(*, config: Any, server_state: Any, app_state: Any) -> WebSocketHandshake:
        return WebSocketHandshake(plane, server_state)

    app = make_http_app(plane)
    server = _Uvicorn(
        uvicorn.Config(
            app,
            http=EdgeHttpProtocol,
            ws=make_websocket,  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # a client's address is that of its connection, for HTTP as for WebSocket
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=KEEP_ALIVE_S,
            ssl_certfile=config.tls_cert,
            ssl_keyfile=config.tls_key,
        )
    )
    host, port = listener.getsockname()[:2]
    http_address = address_text(host, port)
    grpc_server = InferenceServer(plane) if config.grpc_listen is not None else None
    grpc_address = ""
    if grpc_server is not None and config.grpc_listen is not None:
        try:
            tls = (config.tls_cert, config.tls_key) if config.tls_cert and config.tls_key else None
            grpc_address = await grpc_server.start(config.grpc_listen, config.workers, tls)
        except OSError as error:
            raise SystemExit(f"edge: {error} (choose another with --grpc-listen)") from None

    inner_server = InnerServer(plane) if config.inner_listen is not None else None
    inner_address = ""
    if inner_server is not None and config.inner_listen is not None:
        try:
            inner_address = await inner_server.start(config.inner_listen)
        except OSError as error:
            raise SystemExit(f"edge: {error} (choose another with --inner-listen)") from None

    watching: asyncio.Task[None] | None = None
    if config.controller is not None:
        session = ControllerSession(plane, config.controller, http_address, grpc_address, inner_address)
        plane.stale_s = lambda: session.stale_s
        watching = loop.create_task(session.run(), name="controller session")
    else:
        plane.apply(static_snapshot(config.static))

    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            log.warning("stopped_at_once", streams=plane.active_streams)
            os._exit(130)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)

    serving = loop.create_task(server.serve(sockets=[listener]), name="http server")
    await _first(serving, server.is_up)
    if not serving.done():
        log.info(
            "edge_serving",
            edge=plane.edge_id,
            http=http_address,
            grpc=grpc_address or None,
            inner=inner_address or None,
        )
        if config.ready_file is not None:
            _write_ready(Path(config.ready_file), http_address, grpc_address, inner_address)
        await _first(serving, stopping)
    await _drain(plane, server, grpc_server, inner_server, config.drain_timeout_s)
    await app.stop()
    if grpc_server is not None:
        await grpc_server.stop()
    if inner_server is not None:
        await inner_server.stop()
    server.should_exit = True
    await serving
    if watching is not None:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await plane.trunks.stop()
    log.info("edge_stopped", edge=plane.edge_id)


async def _first(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Returns when the event is set, or the task is done."""
    waiting = asyncio.get_running_loop().create_task(event.wait())
    try:
        await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _drain(
    plane: DataPlane,
    server: uvicorn.Server,
    grpc_server: InferenceServer | None,
    inner_server: InnerServer | None,
    timeout_s: float,
) -> None:
    """Refuses new streams, waits for the open ones, and ends those that remain with 1012."""
    plane.is_draining = True
    if inner_server is not None:
        inner_server.begin_drain()
    log.info("edge_draining", streams=plane.active_streams, timeout_s=timeout_s)
    if await plane.wait_idle(timeout_s):
        return
    connections: list[object] = list(server.server_state.connections)  # uvicorn's type names only its own protocols
    if grpc_server is not None:
        connections += grpc_server.calls
    if inner_server is not None:
        inner_server.close_admission()
        connections += inner_server.streams
    connections += plane.calls
    kinds = (EdgeWebSocket, WebSocketHandshake, GrpcStream, InnerStream, RequestCall)
    remaining = [connection for connection in connections if isinstance(connection, kinds)]
    log.info("edge_closing_streams", streams=len(remaining))
    pause = CLOSE_SPREAD_S / max(1, len(remaining))
    for number, connection in enumerate(remaining):
        connection.end(EndCode.EDGE_DRAINING)
        if number % 16 == 15:
            await asyncio.sleep(16 * pause)
    await plane.wait_idle(CLOSE_ANSWER_S)


def _write_ready(path: Path, http_address: str, grpc_address: str, inner_address: str) -> None:
    addresses = {"http": http_address, "grpc": grpc_address or None, "inner": inner_address or None}
    content = json.dumps({**addresses, "pid": os.getpid()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(content + "\n")
    temporary.replace(path)
