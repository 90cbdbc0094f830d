"""What an upgrade request becomes: the opening of a stream for the runner, or a refusal for the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode
from penstock_edge.headers import forwarded_headers
from penstock_edge.routing import Deployment

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that left first; `http` does not know it."""


def open_stream_request(
    request: Request, transport: asyncio.Transport, deployment: Deployment, stream_id: str, suffix: bytes
) -> trunk_pb2.OpenStream:
    """Returns what the runner is told of a stream.

    Args:
        suffix: what follows the endpoint in the path, percent-encoded.
    """
    raw_path, query = split_target(request)
    peer = transport.get_extra_info("peername")
    has_peer = isinstance(peer, tuple) and len(peer) >= 2
    is_tls = transport.get_extra_info("ssl_object") is not None
    offered = request.headers.get_all("Sec-WebSocket-Protocol")
    return trunk_pb2.OpenStream(
        stream_id=stream_id,
        transport=trunk_pb2.TRANSPORT_WEBSOCKET,
        path=unquote(raw_path.decode("latin-1")),
        raw_path=raw_path,
        query=query,
        headers=forwarded_headers(request.headers.raw_items()),
        subprotocols=[item.strip() for value in offered for item in value.split(",") if item.strip()],
        client=common_pb2.ClientAddress(host=peer[0], port=peer[1]) if has_peer else None,
        scheme="wss" if is_tls else "ws",
        message_bytes_max=deployment.settings.message_bytes_max,
        deployment_id=deployment.id,
        path_suffix=suffix,
    )


def split_target(request: Request) -> tuple[bytes, bytes]:
    """Splits the request target into the path and the query, both as the client sent them."""
    raw_path, _, query = request.path.encode("latin-1").partition(b"?")
    return raw_path, query


def refusal_response(
    code: EndCode,
    text: str = "",
    *,
    status: int = 0,
    retry_after: int = 0,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    is_head: bool = False,
) -> tuple[int, bytes]:
    """Returns the status and the whole HTTP answer.

    Args:
        text: for the client; empty for the text that belongs to `code`.
        status: 0 for the status that belongs to `code`; so is one that is no refusal (400 to 599).
        retry_after: seconds; 0 leaves the header out.
        headers: further headers, checked before (`headers.answer_headers`).
        body: instead of the JSON body with `error`, `code` and `retryable`.
        is_head: the request's method is HEAD, whose answer has no body.
    """
    row = TABLE[code]
    status = status if 400 <= status <= 599 else row.http_status
    answer = Headers({"Connection": "close"})
    if not body:
        answer["Content-Type"] = "application/json"
        body = (json.dumps({"error": text or row.reason, "code": code, "retryable": row.retryable}) + "\n").encode()
    answer.update(list(headers))
    if retry_after:
        answer["Retry-After"] = str(retry_after)
    if status == HTTPStatus.UPGRADE_REQUIRED:
        answer["Upgrade"] = "websocket"
    if code is EndCode.BAD_UPGRADE:
        answer["Sec-WebSocket-Version"] = "13"  # RFC 6455 section 4.2.2
    if is_head:
        body = b""
    answer["Content-Length"] = str(len(body))
    return status, Response(status, _phrase(status), answer, body).serialize()


def _phrase(status: int) -> str:
    if status == _CLIENT_CLOSED_REQUEST:
        return "Client Closed Request"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"
