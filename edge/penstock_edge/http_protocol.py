"""uvicorn's HTTP protocol with what a public edge needs: limits for the request head, and no byte lost on upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 10.0
"""Time for a client to send its first request head; slower ones are cut off, so that they cannot pile up."""

HEAD_BYTES_MAX = 64 * 1024
"""Largest request head."""


CONNECTION_KEY = "penstock.connection"
"""Where the ASGI scope of a request holds its EdgeHttpProtocol."""


class EdgeHttpProtocol(HttpToolsProtocol):
    """One client's connection until it upgrades."""

    on_lost: Callable[[], None] | None = None
    """Set by the request that is served: called when the client has left."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    @property
    def is_body_whole(self) -> bool:
        """Whether the body of the request that is served has come, and its client is there."""
        cycle = self.cycle
        return cycle is not None and not (cycle.more_body or cycle.disconnected or cycle.response_complete)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_head_timer()
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()

    def data_received(self, data: bytes) -> None:
        """Parses what has come; on an upgrade, what stands behind the head goes to the WebSocket protocol."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._stop_head_timer()
                self._hand_over(data[upgrade.args[0] :])
            else:
                self._unsupported_upgrade_warning()
            return
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response("Request head is too large.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        scope: Any = self.scope
        scope[CONNECTION_KEY] = self

    def on_headers_complete(self) -> None:
        """The request head is whole."""
        if self._head_timer is not None and not self.parser.should_upgrade():
            self._stop_head_timer()
        super().on_headers_complete()

    def _hand_over(self, rest: bytes) -> None:
        """Makes the WebSocket protocol, and gives it the socket and everything that was read."""
        self.connections.discard(self)
        version = self.parser.get_http_version().encode()
        head = [self.scope["method"].encode(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.scope["headers"]:
            head += [name, b": ", value, b"\r\n"]
        head.append(b"\r\n")
        make: Any = self.ws_protocol_class
        protocol = make(config=self.config, server_state=self.server_state, app_state=self.app_state)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        protocol.data_received(b"".join(head))
        if rest:
            receiver: Any = self.transport.get_protocol()
            receiver.data_received(rest)

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
