"""What the edge answers over HTTP: its own pages, requests for models, and clear refusals for everything else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.close_codes import TABLE, EndCode
from penstock_edge.http_refusal import refusal
from penstock_edge.http_request import serve_request
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Route as ModelRoute

NO_SNAPSHOT = "Edge has not heard from its controller yet."


def make_http_app(plane: DataPlane) -> ASGIApp:
    """Builds the ASGI app of one edge process."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if plane.is_draining:
            return PlainTextResponse("draining\n", 503)
        if plane.snapshot_version == 0:
            return PlainTextResponse("no snapshot from the controller yet\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics(_: Request) -> Response:
        plane.publish_gauges()
        return Response(plane.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    pages = Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)],
    )
    own_paths = frozenset({"/healthz", "/readyz", "/metrics"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in own_paths:
            await pages(scope, receive, send)
            return
        route = plane.table.match(_host(scope), scope.get("raw_path") or scope["path"].encode())
        if route is None:
            no_snapshot = plane.snapshot_version == 0
            answer = refusal(EndCode.REPLICA_NOT_READY, NO_SNAPSHOT, retry_after=1) if no_snapshot else _not_found()
            await answer(scope, receive, send)
        elif route.endpoint in ("predict", "sync"):
            await serve_request(plane, route, scope, receive, send)
        else:
            await _other(route)(scope, receive, send)

    return app


def _host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return str(value, "latin-1")
    return ""


def _not_found() -> Response:
    return refusal(EndCode.NOT_FOUND, f"{TABLE[EndCode.NOT_FOUND].reason} Models are at /model/NAME/predict.")


def _other(route: ModelRoute) -> Response:
    if route.endpoint == "websocket":
        text = "This is a WebSocket endpoint: send a GET request with `Connection: Upgrade` and `Upgrade: websocket`."
        return refusal(EndCode.BAD_UPGRADE, text, status=426, headers={"Upgrade": "websocket"})
    text = f"'{route.endpoint}' over HTTP is not implemented by this version."
    return refusal(EndCode.NOT_FOUND, text, status=501)
