"""The HTTP load generator against a small server that answers as each test says."""

from __future__ import annotations

import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock_bench.generator import compile_generator
from penstock_bench.predict.rows import Row
from penstock_bench.predict.trial import measure_row
from penstock_bench.samples import LoadError, Sample
from penstock_bench.targets import Endpoint

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")  # it is written in C

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def http_load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_generator(tmp_path_factory.mktemp("build"), "http_load")


def with_length(body: bytes) -> list[bytes]:
    return [OK + b"Content-Length: %d\r\n\r\n" % len(body) + body]


def in_chunks(*parts: bytes) -> list[bytes]:
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    return [OK + b"transfer-encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n"]


@contextmanager
def serving(answer: Callable[[bytes], Sequence[bytes]], between: Callable[[], object] = lambda: None) -> Iterator[int]:
    """Yields the port of a server that answers each request's body; `between` is called before each later piece."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            while self.rfile.readline():
                length = 0
                while (line := self.rfile.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                for position, piece in enumerate(answer(self.rfile.read(length))):
                    if position:
                        between()
                    self.wfile.write(piece)

        def finish(self) -> None:
            """The generator leaves in the middle of an answer."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """The same."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def load(program: Path, port: int, *, size: int = 100, answer: int = 2, rate: float = 0.0, conns: int = 3) -> Sample:
    row = Row("test", "", "", size, answer, conns, rate)
    return measure_row(program, row, Endpoint(port, "/a"), [], seconds=0.3, warm_s=0.05)


@pytest.mark.parametrize("size", [11, 100, 300_000])
def test_the_body_is_json_of_the_size_that_was_asked_for(http_load: Path, size: int) -> None:
    bodies = set()

    def answer(body: bytes) -> Sequence[bytes]:
        bodies.add(body)
        return with_length(b"ok")

    with serving(answer) as port:
        sample = load(http_load, port, size=size)

    assert sample.per_s and sample.per_s > 10
    assert bodies == {b'{"text":"' + b"x" * (size - 11) + b'"}'}


def test_answers_in_chunks_are_counted_to_their_end(http_load: Path) -> None:
    # Split where a parser has to remember: in a size, in data, in the end.
    whole = b"".join(in_chunks(b"o" * 20, b"k"))
    cut = [whole[i : i + 7] for i in range(0, len(whole), 7)]

    with serving(lambda _: cut) as port:
        sample = load(http_load, port, answer=21)

    assert sample.per_s and sample.per_s > 10


def test_the_first_part_is_timed_apart_from_the_whole(http_load: Path) -> None:
    pause = threading.Event()

    with serving(lambda _: in_chunks(b"o", b"k"), lambda: pause.wait(0.01)) as port:
        sample = load(http_load, port, conns=1)

    assert sample.p50_ms and sample.first_p50_ms
    # Head, two chunks and the end: one pause before the first part, three before the end.
    assert sample.first_p50_ms >= 10
    assert sample.p50_ms >= sample.first_p50_ms + 20


def test_a_paced_load_keeps_its_rate(http_load: Path) -> None:
    with serving(lambda _: with_length(b"ok")) as port:
        sample = load(http_load, port, rate=20, conns=5)

    assert sample.per_s == pytest.approx(100, rel=0.2)
    assert sample.skipped == 0


def test_a_server_that_falls_behind_cannot_hide_its_queue(http_load: Path) -> None:
    pause = threading.Event()

    with serving(lambda _: in_chunks(b"ok"), lambda: pause.wait(0.02)) as port:
        sample = load(http_load, port, rate=100, conns=1)

    assert sample.p50_ms and sample.p50_ms > 80, "it takes 40 ms for an answer, and every 10 ms one is due"


def test_an_answer_of_another_length_is_an_error(http_load: Path) -> None:
    with serving(lambda _: with_length(b"no!")) as port, pytest.raises(LoadError, match="3 bytes instead of 2"):
        load(http_load, port)


@pytest.mark.parametrize("chunk", [b"2\r\nokay\r\n", b"okay\r\n"])
def test_a_chunk_that_is_none_is_an_error(http_load: Path, chunk: bytes) -> None:
    pieces = [OK + b"transfer-encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"]

    with serving(lambda _: pieces) as port, pytest.raises(LoadError, match="a chunk"):
        load(http_load, port)


def test_a_refusal_is_reported_with_its_head(http_load: Path) -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"

    with serving(lambda _: [refusal]) as port, pytest.raises(LoadError, match="503 Service Unavailable"):
        load(http_load, port)


@pytest.mark.parametrize(
    "head", [OK + b"\r\n", OK + b"connection: close\r\ncontent-length: 2\r\n\r\n", OK + b"x" * 9000]
)
def test_an_answer_that_does_not_keep_the_connection_is_an_error(http_load: Path, head: bytes) -> None:
    with serving(lambda _: [head]) as port, pytest.raises(LoadError, match="every connection was closed"):
        load(http_load, port)


def test_an_option_without_a_meaning_is_a_usage_error(http_load: Path) -> None:
    done = subprocess.run([http_load, "-port", "1", "-z", "1"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "usage:" in done.stderr
