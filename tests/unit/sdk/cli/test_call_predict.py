from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penstock.cli import exit_status
from penstock.cli.call.payload import Body
from penstock.cli.call.predict import error_text, predict
from penstock.cli.call.printer import Printer
from penstock.cli.command_error import CommandError

BODY = Body(b"[1]", "application/json")
Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Web:
    """A server that answers as it is told."""

    def __init__(self) -> None:
        self.answer: Answer = lambda handler, body: reply(handler, 200, body)
        self.url = ""
        self.requests: list[tuple[str, dict[str, str], bytes]] = []


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            web.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            web.answer(self, body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_address[1]}/model/m/predict"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield web
    server.shutdown()
    thread.join()
    server.server_close()


def ask(web: Web, *headers: tuple[str, str], timeout_s: float = 10.0, stream: bool = False, url: str = "") -> None:
    with Printer(None, indents=False) as printer:
        predict(url or web.url, BODY, headers, printer, timeout_s=timeout_s, stream=stream, advice="see the log")


def test_the_request_arrives_as_it_was_meant(web: Web, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    ask(web, ("X-Key", "k"))
    path, headers, body = web.requests[0]
    assert (path, body) == ("/model/m/predict", b"[1]")
    assert (headers["content-type"], headers["x-key"]) == ("application/json", "k")
    assert capsysbinary.readouterr().out == b"[1]"


def test_the_content_type_may_be_given(web: Web) -> None:
    ask(web, ("content-type", "text/csv"))
    assert web.requests[0][1]["content-type"] == "text/csv"


def test_parts_are_shown_when_they_come(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = threading.Event()
    parts: list[bytes] = []

    def part(_: Printer, content: bytes) -> None:
        parts.append(content)
        shown.set()

    monkeypatch.setattr(Printer, "part", part)

    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"3\r\none\r\n")
        # The second part comes only when the first was shown.
        if shown.wait(10):
            handler.wfile.write(b"3\r\ntwo\r\n0\r\n\r\n")

    web.answer = answer
    ask(web)
    assert parts == [b"one", b"two"]


@pytest.mark.parametrize(
    ("status", "body", "text", "exit_code"),
    [
        (500, b'{"error": "Internal Server Error"}', "HTTP 500: Internal Server Error; see the log", 1),
        (400, b'{"detail": "no"}', "HTTP 400: no", 1),
        (404, b"nothing here", "HTTP 404: nothing here", exit_status.NOT_FOUND),
        (503, b"", "HTTP 503: Service Unavailable; see the log", 1),
    ],
)
def test_errors_read_well(web: Web, status: int, body: bytes, text: str, exit_code: int) -> None:
    web.answer = lambda handler, _: reply(handler, status, body)
    with pytest.raises(CommandError) as failed:
        ask(web)
    assert (str(failed.value), failed.value.status) == (text, exit_code)


def test_a_server_that_is_silent_is_given_up(web: Web) -> None:
    ended = threading.Event()
    web.answer = lambda *_: (ended.wait(10), None)[1]
    with pytest.raises(CommandError, match=r"no answer within 0.1 s") as failed:
        ask(web, timeout_s=0.1)
    ended.set()
    assert failed.value.status == exit_status.TIMED_OUT


def test_an_answer_that_breaks_off_is_told(web: Web) -> None:
    def answer(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    web.answer = answer
    with pytest.raises(CommandError, match="broke off: IncompleteRead"):
        ask(web)


def test_nobody_there_is_told(web: Web) -> None:
    with pytest.raises(CommandError, match=r"cannot reach http://127\.0\.0\.1:1/x: Connection refused"):
        ask(web, url="http://127.0.0.1:1/x")


def test_the_text_of_an_error_is_found() -> None:
    assert error_text(b'{"error": {"message": "a"}}') == '{"message": "a"}'
    assert error_text(b'{"other": 1}') == '{"other": 1}'
    assert error_text(b"[]") == "[]"
    assert error_text(b"\xff") == "�"
