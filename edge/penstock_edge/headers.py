"""Which headers of a client reach the model. Pure."""

from __future__ import annotations

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


def forwarded_headers(headers: Iterable[tuple[str, str]]) -> list[common_pb2.Header]:
    """Returns the headers that pass, in order, names in lower case."""
    return [
        common_pb2.Header(name=name.lower(), value=value.encode("latin-1", "replace"))
        for name, value in headers
        if name.lower() not in _DROPPED
    ]
