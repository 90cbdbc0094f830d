"""Requests to an edge without a network: what a client gets, and a model that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from typing import Any

from penstock.api.common.v1 import common_pb2
from penstock.api.control.v1 import control_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.batch import Kind
from penstock_edge.http_app import HttpApp
from penstock_edge.webhook import WebhookRules
from penstock_testing.edge_kit import EdgeKit, ModelSide

Headers = Iterable[tuple[str, str]]


JSON = (("content-type", "application/json"),)


def response(
    status: int = 200,
    body: bytes = b"",
    *,
    headers: Headers = JSON,
    more: bool = False,
) -> bytes:
    """The head of a response, as a runner sends it."""
    return trunk_pb2.ResponseHead(
        status=status,
        headers=[common_pb2.Header(name=name, value=value.encode("latin-1")) for name, value in headers],
        body=body,
        body_follows=more,
    ).SerializeToString()


def answer(side: ModelSide, body: bytes, status: int = 200) -> None:
    """Answers a request with one JSON body, and ends its stream."""
    side.send(Kind.BINARY, response(status, body))
    side.close()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class HttpClient:
    """One request over ASGI."""

    def __init__(
        self,
        app: HttpApp,
        path: str,
        body: bytes = b"{}",
        *,
        method: str = "POST",
        headers: Headers = (),
        more_body: bool = False,
    ) -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        """Messages of the app."""
        self._parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._parts.put_nowait({"type": "http.request", "body": body, "more_body": more_body})
        raw_path, _, query = path.encode().partition(b"?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": raw_path.decode(),
            "raw_path": raw_path,
            "query_string": query,
            "client": ("10.0.0.1", 999),
            "headers": [(b"host", b"x"), *((name.lower().encode(), value.encode()) for name, value in headers)],
        }
        self.task = asyncio.get_running_loop().create_task(app(scope, self._parts.get, self._send))

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    def send_body(self, data: bytes, *, more_body: bool = True) -> None:
        self._parts.put_nowait({"type": "http.request", "body": data, "more_body": more_body})

    def leave(self) -> None:
        self._parts.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode("latin-1")) for name, value in self.sent[0]["headers"]]

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def is_answered(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body") and len(self.sent) > 1


class RequestKit(EdgeKit):
    """An edge with its HTTP app and the replica "r1". Make it inside of a running loop."""

    def __init__(
        self,
        *replicas: tuple[str, int, int],
        settings: control_pb2.StreamSettings | None = None,
        rules: WebhookRules | None = None,
    ) -> None:
        super().__init__()
        self.apply(*(replicas or (("r1", 0, 10),)), settings=settings)
        self.app = HttpApp(self.plane, rules if rules is not None else WebhookRules())

    def ask(self, path: str = "/model/echo/predict", body: bytes = b"{}", **options: Any) -> HttpClient:
        return HttpClient(self.app, path, body, **options)

    async def side(self, index: int = 0, replica: str = "r1") -> ModelSide:
        """The stream that was asked for at a replica."""
        await settle()
        self.runners[replica].pump()
        return self.runners[replica].streams[index]

    async def accepted(self, index: int = 0, replica: str = "r1") -> ModelSide:
        side = await self.side(index, replica)
        side.accept()
        await settle()
        return side

    def assert_nothing_left(self, **reported: int) -> None:
        """No stream, no slot and no request is held, but those that the replicas have reported."""
        for runner in self.runners.values():
            runner.pump()
            assert self.active(runner.peer_id) == reported.get(runner.peer_id, 0)
            assert runner.edge.streams == {} and runner.side.streams == {}
        assert self.plane.active_streams == 0
        assert self.plane.calls == set()
