"""A small HTTP server on a port of its own, in a thread, for code that calls plain HTTP endpoints."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class WebServer:
    """What a test asks a server for.

    Attributes:
        url: Its address, with a slash at its end.
        requests: Headers (by name in lower case) and body of each request, in order.
        connections: How many were opened.
    """

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    peers: set[object] = field(default_factory=set)

    @property
    def connections(self) -> int:
        """How many connections the requests came on."""
        return len(self.peers)


@contextmanager
def web_server(**handlers: Handler) -> Iterator[WebServer]:
    """Serves each handler under its name; a WebSocket handler under any path that ends so."""
    server = WebServer()
    loop = asyncio.new_event_loop()

    async def serve(request: web.Request) -> web.StreamResponse:
        server.peers.add(request.transport.get_extra_info("peername") if request.transport is not None else None)
        name = request.path.rpartition("/")[2]
        if name not in handlers:
            raise web.HTTPNotFound
        if name != "websocket":
            body = await request.read()
            server.requests.append(({key.lower(): value for key, value in request.headers.items()}, body))
        return await handlers[name](request)

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        return runner

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
