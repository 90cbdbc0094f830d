"""A request over HTTP for a model: ASGI on one side, a RequestCall on the other.

The body is collected up to BODY_PART_BYTES_MAX before a slot is asked for, so that a client that sends slowly holds
none; what is beyond that is passed on as it comes. The response is passed on part by part.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any

from starlette.types import Receive, Scope, Send

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock_edge.ended import record_refusal
from penstock_edge.headers import answer_headers, request_headers
from penstock_edge.http_protocol import CONNECTION_KEY, EdgeHttpProtocol
from penstock_edge.http_refusal import refusal
from penstock_edge.plane import DataPlane
from penstock_edge.request_call import BODY_PART_BYTES_MAX, BODY_SILENCE_S, CallFailedError, RequestCall
from penstock_edge.routing import Deployment, Route

REQUEST_ID_HEADER = b"x-baseten-request-id"
ATTEMPTS_HEADER = b"x-baseten-model-prediction-attempts"
_REQUEST_ID_BYTES_MAX = 128

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ClientGoneError(Exception):
    """The client left before its request was whole."""


async def serve_request(plane: DataPlane, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one request for the endpoint "predict" or "sync"."""
    method: str = scope["method"]
    deployment = route.deployment
    refused = _check(plane, route, scope, method)
    if refused is not None:
        await refuse(plane, deployment, refused, scope, receive, send)
        return
    connection: EdgeHttpProtocol | None = scope.get(CONNECTION_KEY)
    try:
        body, rest, more = await _first_part(receive, connection, deployment.settings.message_bytes_max)
    except ClientGoneError:
        return
    except CallFailedError as failure:
        await refuse(plane, deployment, failure, scope, receive, send)
        return
    request_id = request_id_of(scope["headers"])
    call = RequestCall(
        plane,
        deployment,
        headers=request_headers(scope["headers"], request_id),
        body=body,
        body_follows=bool(rest) or more,
        method=method,
        path=route.model_path,
        query=scope.get("query_string", b""),
        client=tuple(scope["client"]) if scope.get("client") else None,
        scheme=scope.get("scheme", "http"),
    )
    if connection is not None:
        connection.on_lost = call.client_gone
    sending: asyncio.Task[None] | None = None
    try:
        call.begin()
        if rest or more:
            sending = plane.loop.create_task(_send_rest(call, plane, receive, rest, more=more))
        try:
            head = await call.head()
        except CallFailedError as failure:
            await refuse(plane, deployment, failure, scope, receive, send, request_id)
            return
        await _respond(call, head, request_id, scope, receive, send)
    finally:
        if connection is not None:
            connection.on_lost = None
        call.close()
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def _check(plane: DataPlane, route: Route, scope: Scope, method: str) -> CallFailedError | None:
    if plane.is_draining:
        return CallFailedError(EndCode.EDGE_DRAINING, retry_after=1)
    if method not in _METHODS or (route.endpoint == "predict" and method != "POST"):
        text = f"{method} is not allowed here; send a POST request."
        return CallFailedError(EndCode.BAD_REQUEST, text, status=405)
    settings = route.deployment.settings
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > settings.message_bytes_max:
            return too_big(settings.message_bytes_max)
    if method in ("GET", "HEAD") and not plane.placement.ready_count(route.deployment.id, plane.now()):
        # Who only looks does not wait, and wakes nothing up.
        return CallFailedError(EndCode.REPLICA_NOT_READY, "Model with name model is not ready.", retry_after=1)
    return None


async def _first_part(
    receive: Receive, connection: EdgeHttpProtocol | None, bytes_max: int
) -> tuple[bytes, bytes, bool]:
    """Returns the beginning of the body, what has come behind it, and whether more follows."""
    message = await next_of_body(receive, connection)
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > bytes_max:
            raise too_big(bytes_max)
        if len(body) <= BODY_PART_BYTES_MAX:
            return body, b"", False
    collected = bytearray(body)
    more = bool(message.get("more_body"))
    while more and len(collected) < BODY_PART_BYTES_MAX // 2:
        message = await next_of_body(receive, connection)
        collected += message.get("body", b"")
        more = bool(message.get("more_body"))
    if len(collected) > bytes_max:
        raise too_big(bytes_max)
    return bytes(collected[:BODY_PART_BYTES_MAX]), bytes(collected[BODY_PART_BYTES_MAX:]), more


async def next_of_body(receive: Receive, connection: EdgeHttpProtocol | None = None) -> Any:
    """Returns the next message of a request's body.

    Raises:
        ClientGoneError: the client has left.
        CallFailedError: nothing has come for BODY_SILENCE_S.
    """
    try:
        if connection is not None and connection.is_body_whole:
            message = await receive()  # does not wait
        else:
            async with asyncio.timeout(BODY_SILENCE_S):
                message = await receive()
    except TimeoutError:
        text = f"Nothing of the request's body has come for {BODY_SILENCE_S:g} s."
        raise CallFailedError(EndCode.REQUEST_TIMEOUT, text, status=408) from None
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message


async def _send_rest(call: RequestCall, plane: DataPlane, receive: Receive, rest: bytes, *, more: bool) -> None:
    """Passes the rest of the body on, once there is a slot."""
    call.on_open = plane.loop.create_future()
    if not call.is_open:
        await call.on_open
    bytes_max = call.deployment.settings.message_bytes_max
    sent = call.bytes_in + len(rest)
    try:
        if rest and not await call.send_body(rest):
            return
        if not more:
            await call.send_body(b"")
            return
        while True:
            message = await next_of_body(receive)
            body: bytes = message.get("body", b"")
            sent += len(body)
            if sent > bytes_max:
                call.fail(too_big(bytes_max))
                return
            if body and not await call.send_body(body):
                return
            if not message.get("more_body"):
                await call.send_body(b"")
                return
    except ClientGoneError:
        call.client_gone()
    except CallFailedError as failure:
        call.fail(failure)


async def _respond(
    call: RequestCall, head: trunk_pb2.ResponseHead, request_id: bytes, scope: Scope, receive: Receive, send: Send
) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer_headers(head.headers)]
    headers.append((REQUEST_ID_HEADER, request_id))
    headers.append((ATTEMPTS_HEADER, b"%d" % call.attempts))
    length = _length(head, scope["method"])
    if length is not None:
        headers.append((b"content-length", length))
    await send({"type": "http.response.start", "status": head.status, "headers": headers})
    if not head.body_follows:
        await send({"type": "http.response.body", "body": head.body})
        return
    if head.body:
        await send({"type": "http.response.body", "body": head.body, "more_body": True})
    try:
        while (part := await call.next_part()) is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except CallFailedError:
        await _cut(scope, receive)


def _length(head: trunk_pb2.ResponseHead, method: str) -> bytes | None:
    """The length of the body, when it is known: a response without it is sent in chunks."""
    if head.status in (204, 304):
        return None
    if not head.body_follows and method != "HEAD":
        return str(len(head.body)).encode()
    stated = [header.value for header in head.headers if header.name.lower() == "content-length"]
    return stated[0] if len(stated) == 1 and stated[0].isdigit() else None


async def _cut(scope: Scope, receive: Receive) -> None:
    """Breaks the connection off, so that the client sees that its response is not whole."""
    connection: EdgeHttpProtocol | None = scope.get(CONNECTION_KEY)
    if connection is None:
        raise ConnectionError("the response was cut")
    connection.transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


async def refuse(
    plane: DataPlane,
    deployment: Deployment | None,
    failure: CallFailedError,
    scope: Scope,
    receive: Receive,
    send: Send,
    request_id: bytes = b"",
) -> None:
    """Answers a request that reaches no model, and counts it."""
    if failure.code is EndCode.CLIENT_GONE:
        return
    record_refusal(deployment.name if deployment is not None else "", failure.code, failure.status, plane.metrics)
    response = refusal(failure.code, failure.text, status=failure.status, retry_after=failure.retry_after)
    if request_id:
        response.headers[REQUEST_ID_HEADER.decode()] = request_id.decode("latin-1")
    if failure.status in (408, 413):
        response.headers["connection"] = "close"  # the rest of the body is not read
    await response(scope, receive, send)


def too_big(bytes_max: int) -> CallFailedError:
    """The failure of a request whose body exceeds a limit."""
    return CallFailedError(EndCode.MESSAGE_TOO_BIG, f"The request's body is larger than {bytes_max} bytes.")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Returns the client's own id of its request, or a new one."""
    for name, value in headers:
        if name == REQUEST_ID_HEADER and 0 < len(value) <= _REQUEST_ID_BYTES_MAX:
            return value
    return secrets.token_hex(16).encode()
