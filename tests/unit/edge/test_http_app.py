from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from penstock_edge.http_app import make_http_app
from penstock_testing.edge_kit import EdgeKit

Answer = tuple[int, dict[str, str], bytes]


async def ask(kit: EdgeKit, path: str, method: str = "GET", host: str = "localhost") -> Answer:
    sent: list[MutableMapping[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode())],
    }

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await make_http_app(kit.plane)(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


def asked(path: str, method: str = "GET", host: str = "localhost", *, is_draining: bool = False) -> Answer:
    async def main() -> Answer:
        kit = EdgeKit()
        kit.apply(("r1", 0, 1))
        kit.plane.is_draining = is_draining
        return await ask(kit, path, method, host)

    return asyncio.run(main())


def test_an_edge_is_alive_and_ready_with_a_snapshot() -> None:
    assert asked("/healthz")[0] == 200
    assert asked("/readyz")[0] == 200


def test_an_edge_without_a_snapshot_is_alive_and_not_ready() -> None:
    async def main() -> None:
        kit = EdgeKit()
        assert (await ask(kit, "/healthz"))[0] == 200
        status, _, body = await ask(kit, "/readyz")
        assert status == 503
        assert b"snapshot" in body

    asyncio.run(main())


def test_a_draining_edge_is_alive_and_not_ready() -> None:
    assert asked("/healthz", is_draining=True)[0] == 200
    assert asked("/readyz", is_draining=True)[::2] == (503, b"draining\n")


def test_metrics_are_in_the_text_format() -> None:
    status, headers, body = asked("/metrics")

    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE baseten_ongoing_websocket_connections gauge" in body


@pytest.mark.parametrize("path", ["/", "/nothing", "/model/nothing/websocket", "/model/echo", "/healthz/x"])
def test_other_paths_are_not_found(path: str) -> None:
    status, _, body = asked(path)

    assert status == 404
    assert json.loads(body)["code"] == "NOT_FOUND"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_on_a_websocket_path_is_told_to_upgrade(method: str) -> None:
    status, headers, body = asked("/model/echo/websocket", method)

    assert (status, headers["upgrade"]) == (426, "websocket")
    assert "Upgrade: websocket" in json.loads(body)["error"]


def test_predict_takes_posts_only() -> None:
    status, _, body = asked("/model/echo/predict", "PUT")

    assert status == 405
    assert "POST" in json.loads(body)["error"]


def test_hosts_are_routed_too() -> None:
    assert asked("/websocket", host="model-echo.example.com")[0] == 426
