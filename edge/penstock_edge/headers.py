"""Which headers of a client reach the model, and which of the model's side reach the client. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from penstock.api.common.v1 import common_pb2

_DROPPED = frozenset(
    {
        # Hop by hop (RFC 9110 section 7.6.1), and the handshake's own (RFC 6455 section 4).
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
        "sec-websocket-accept",
        # Credentials of the platform never reach user code.
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "x-auth-token",
        "x-apig-appcode",
    }
)

_DROPPED_FROM_REQUESTS = frozenset(name.encode() for name in _DROPPED) | {b"expect", b"x-baseten-request-id"}

_ONE_REQUEST_ONLY = frozenset({"content-type", "content-encoding", "expect", "x-baseten-request-id"})
"""What an upgrade request says of itself, and not of the messages that follow."""

_OWN_ANSWER = frozenset(
    {
        # The edge's own in an answer to an upgrade.
        "connection",
        "content-length",
        "keep-alive",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def forwarded_headers(headers: Iterable[tuple[str, str]]) -> list[common_pb2.Header]:
    """Returns the headers that pass, in order, names in lower case."""
    return [
        common_pb2.Header(name=name.lower(), value=value.encode("latin-1", "replace"))
        for name, value in headers
        if name.lower() not in _DROPPED
    ]


def request_headers(headers: Iterable[tuple[bytes, bytes]], request_id: bytes) -> list[common_pb2.Header]:
    """Returns the headers of an HTTP request that pass, in order, with the request's id. Names are in lower case."""
    passed = [
        common_pb2.Header(name=name.decode("latin-1"), value=value)
        for name, value in headers
        if name not in _DROPPED_FROM_REQUESTS
    ]
    passed.append(common_pb2.Header(name="x-baseten-request-id", value=request_id))
    return passed


def message_headers(
    headers: Iterable[common_pb2.Header], content_type: bytes, request_id: bytes
) -> list[common_pb2.Header]:
    """Returns the headers of a request that came as a message of a WebSocket connection.

    Args:
        headers: what `forwarded_headers` has let through of the upgrade request.
    """
    passed = [
        header
        for header in headers
        if header.name not in _ONE_REQUEST_ONLY and not header.name.startswith("sec-websocket-")
    ]
    passed.append(common_pb2.Header(name="content-type", value=content_type))
    passed.append(common_pb2.Header(name="x-baseten-request-id", value=request_id))
    return passed


def answer_headers(headers: Iterable[common_pb2.Header]) -> list[tuple[str, str]]:
    """Returns the headers of a runner's answer that pass, in order.

    A name that is no token (RFC 9110 section 5.1) or a value with a line break is left out: it could forge further
    headers.
    """
    return [
        (header.name, header.value.decode("latin-1"))
        for header in headers
        if header.name.lower() not in _OWN_ANSWER and _TOKEN.fullmatch(header.name) and _VALUE.fullmatch(header.value)
    ]
