"""A real web server on a free port that misbehaves as it is told, one request after another."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done wrong in one answer."""

    status: int | None = None
    """Answered instead of the file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """In place of those of the same name; an empty value leaves the header out."""
    cut_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    stall: threading.Event | None = None
    """Waited for, for a minute at most, where the connection would be cut (or before the body)."""
    ignore_range: bool = False
    drip: bool = False
    """The body is sent in pieces of 1 byte."""


@dataclass(slots=True)
class Page:
    """One file of the server."""

    content: bytes
    etag: str = ""
    """Made from the content when empty; "none" for no header at all."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with each answer."""
    faults: deque[Fault] = field(default_factory=deque)
    """Used up, one for each request."""
    password: str | None = None
    """Value of Authorization without which 401 is answered."""

    def tag(self) -> str:
        return self.etag or f'"{hashlib.md5(self.content).hexdigest()}"'


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that came."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""


class FaultyWebServer:
    """Pages by path. Redirects are Faults with a status and a Location."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.seen: list[Seen] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def put(self, path: str, content: bytes, *faults: Fault, etag: str = "", **headers: str) -> Page:
        """Serves `content`; header names are written with "_" for "-"."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        page = Page(content, etag, named, deque(faults))
        self.pages[path] = page
        return page

    def asked(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@contextmanager
def faulty_web_server() -> Iterator[FaultyWebServer]:
    """Gives a server for the time of the block."""
    server = FaultyWebServer()
    try:
        yield server
    finally:
        server.close()


def _handler(web: FaultyWebServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.close_connection = True
            path = self.path.partition("?")[0]
            web.seen.append(Seen(path, {name.lower(): value for name, value in self.headers.items()}))
            page = web.pages.get(path)
            if page is None:
                self._answer(404, {}, b"")
                return
            if page.password is not None and self.headers.get("Authorization") != page.password:
                self._answer(401, {}, b"")
                return
            fault = page.faults.popleft() if page.faults else Fault()
            self._answer_page(page, fault)

        def _answer_page(self, page: Page, fault: Fault) -> None:
            headers = {**page.headers}
            if page.tag() != "none":
                headers["ETag"] = page.tag()
            status, body = 200, page.content
            found = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
            unchanged = self.headers.get("If-Range") in (None, page.tag(), page.headers.get("Last-Modified"))
            if found and unchanged and not fault.ignore_range:
                begin, total = int(found[1]), len(page.content)
                if begin >= total:
                    status, body = 416, b""
                    headers["Content-Range"] = f"bytes */{total}"
                else:
                    status, body = 206, page.content[begin:]
                    headers["Content-Range"] = f"bytes {begin}-{total - 1}/{total}"
            if fault.status is not None:
                status, body = fault.status, b""
            self._answer(status, {**headers, **fault.headers}, body, fault)

        def _answer(self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault | None = None) -> None:
            fault = fault or Fault()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
                if value:
                    self.send_header(name, value)
            try:
                self.end_headers()
                piece = body if fault.cut_after is None else body[: fault.cut_after]
                step = 1 if fault.drip else max(len(piece), 1)
                for begin in range(0, len(piece), step):
                    self.wfile.write(piece[begin : begin + step])
                    self.wfile.flush()
                if fault.stall is not None:
                    fault.stall.wait(60)
            except ConnectionError:
                # The client has had enough.
                pass

    return Handler
