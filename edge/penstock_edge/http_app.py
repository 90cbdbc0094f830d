"""What the edge answers over HTTP: its own pages, requests for models, and clear refusals for everything else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from penstock.close_codes import TABLE, EndCode
from penstock_edge.async_requests import AsyncRequests
from penstock_edge.http_refusal import refusal
from penstock_edge.http_request import serve_request
from penstock_edge.plane import DataPlane
from penstock_edge.wake import Wakes
from penstock_edge.webhook import WebhookRules

_OWN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})

_UPGRADE_TEXT = "This is a WebSocket endpoint: send a GET request with `Connection: Upgrade` and `Upgrade: websocket`."
NO_SNAPSHOT = "Edge has not heard from its controller yet."


class HttpApp:
    """The ASGI app of one edge process, and owner of the asynchronous requests that it has taken."""

    def __init__(self, plane: DataPlane, rules: WebhookRules | None = None) -> None:
        self._plane = plane
        self._asynchronous = AsyncRequests(plane, rules if rules is not None else WebhookRules.from_environment())
        self._wakes = Wakes(plane)
        self._pages = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
            ],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["path"] in _OWN_PATHS:
            await self._pages(scope, receive, send)
            return
        plane = self._plane
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        route = plane.table.match(_host(scope), raw_path)
        if route is None:
            prefix, _, request_id = raw_path.rpartition(b"/")
            if prefix == b"/async_request":
                await self._asynchronous.serve_id(request_id.decode("latin-1"), scope, receive, send)
                return
            no_snapshot = plane.snapshot_version == 0
            answer = refusal(EndCode.REPLICA_NOT_READY, NO_SNAPSHOT, retry_after=1) if no_snapshot else _not_found()
            await answer(scope, receive, send)
        elif route.endpoint in ("predict", "sync"):
            await serve_request(plane, route, scope, receive, send)
        elif route.endpoint == "wake":
            await self._wakes.serve(route.deployment, scope, receive, send)
        elif route.endpoint == "websocket":
            text = (
                "This is a WebSocket endpoint: send a GET request with `Connection: Upgrade` and `Upgrade: websocket`."
            )
            answer = refusal(EndCode.BAD_UPGRADE, text, status=426, headers={"Upgrade": "websocket"})
            await answer(scope, receive, send)
        else:
            await self._asynchronous.serve(route, scope, receive, send)

    async def stop(self) -> None:
        """Ends what goes on without a client; webhooks are told of what is lost."""
        self._wakes.stop()
        await self._asynchronous.stop()

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        if self._plane.is_draining:
            return PlainTextResponse("draining\n", 503)
        if self._plane.snapshot_version == 0:
            return PlainTextResponse("no snapshot from the controller yet\n", 503)
        return PlainTextResponse("ok\n")

    async def _metrics(self, _: Request) -> Response:
        self._plane.publish_gauges()
        return Response(self._plane.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def make_http_app(plane: DataPlane) -> HttpApp:
    """Builds the ASGI app of one edge process."""
    return HttpApp(plane)


def _host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return str(value, "latin-1")
    return ""


def _not_found() -> Response:
    text = f"{TABLE[EndCode.NOT_FOUND].reason} Models are at /model/NAME/predict, chains at /chain/NAME/run_remote."
    return refusal(EndCode.NOT_FOUND, text)
