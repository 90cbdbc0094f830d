"""Responses whose body is bytes already."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.chains.remote.encoding_buffers import Part

JOINED_BYTES_MAX = 128 * 1024
"""Parts up to this size in all are joined: one message is cheaper than two."""


class EncodedResponse(Response):
    """Status 200. Large bodies go out part by part, so that arrays are not copied into one."""

    def __init__(self, parts: tuple[Part, ...], content_type: str) -> None:
        # Instead of Response.__init__, which encodes and looks up what is known here.
        size = sum(map(len, parts)) if len(parts) > 1 else len(parts[0])
        is_joined = len(parts) == 1 or size <= JOINED_BYTES_MAX
        self.status_code = 200
        self.background = None
        self.body = (parts[0] if len(parts) == 1 else b"".join(parts)) if is_joined else b""
        self._parts = () if is_joined else parts
        self.raw_headers = [
            (b"content-length", str(size).encode()),
            (b"content-type", content_type.encode("latin-1")),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        if not self._parts:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        *first, last = self._parts
        for part in first:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": last, "more_body": False})
