"""The edge's plain HTTP routes: health, metrics, and clear answers for everything else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from penstock.close_codes import TABLE, EndCode
from penstock_edge.plane import DataPlane


def make_http_app(plane: DataPlane) -> Starlette:
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

    async def fallback(request: Request) -> Response:
        raw_path = request.scope.get("raw_path") or request.url.path.encode()
        route = plane.table.match(request.headers.get("host", ""), raw_path)
        if route is None:
            return _error(EndCode.NOT_FOUND)
        if route.endpoint == "websocket":
            text = (
                "This is a WebSocket endpoint: send a GET request with `Connection: Upgrade` and `Upgrade: websocket`."
            )
            return _error(EndCode.BAD_UPGRADE, text, 426, {"Upgrade": "websocket"})
        text = f"'{route.endpoint}' over HTTP is not implemented by this version; the websocket endpoint is."
        return _error(EndCode.NOT_FOUND, text, 501)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/{path:path}", fallback, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ]
    )


def _error(code: EndCode, text: str = "", status: int = 0, headers: dict[str, str] | None = None) -> Response:
    row = TABLE[code]
    body = {"error": text or row.reason, "code": code, "retryable": row.retryable}
    return JSONResponse(body, status or row.http_status, headers)
