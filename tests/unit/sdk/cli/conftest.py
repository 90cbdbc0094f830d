from __future__ import annotations

import argparse
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as websockets_serve

from penstock.cli.main import build_parser
from penstock_testing.fake_admin import FakeAdmin, served

Parse = Callable[..., argparse.Namespace]


@pytest.fixture
def admin() -> FakeAdmin:
    return FakeAdmin()


@pytest.fixture
def controller(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a controller that answers as `admin` is told; commands find it by themselves."""
    with served(admin) as address:
        monkeypatch.setenv("PENSTOCK_CONTROLLER", address)
        yield address


@pytest.fixture
def parse() -> Parse:
    """Parses a command line of `penstock`."""
    return lambda *words: build_parser().parse_args([str(word) for word in words])


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes a Truss directory."""

    def make(
        config: str = "model_name: m\n", code: str = "class Model:\n    def predict(self, x):\n        return x\n"
    ) -> Path:
        folder = tmp_path / "m"
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(config)
        (folder / "model" / "model.py").write_text(code)
        return folder

    return make


@pytest.fixture
def serve_model() -> Iterator[Callable[..., str]]:
    """Serves a model at /model/m/websocket, and a chain at /chain/c/websocket, as an edge would.

    Takes how it behaves, and returns the URL.
    """
    with contextlib.ExitStack() as stack:

        def serve(behaviour: str = "echoes") -> str:
            server = stack.enter_context(
                websockets_serve(
                    _BEHAVIOURS[behaviour], "127.0.0.1", 0, process_request=_found, max_size=None, close_timeout=0.2
                )
            )
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.socket.getsockname()[1]}"

        yield serve


def _found(connection: ServerConnection, request: Request) -> Response | None:
    is_there = request.path in ("/model/m/websocket", "/chain/c/websocket")
    return None if is_there else connection.respond(404, "no such model")


def _echoes(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def _silent(connection: ServerConnection) -> None:
    for _ in connection:
        pass


def _closes(connection: ServerConnection) -> None:
    connection.recv()
    connection.close(1000, "bye")


def _refuses(connection: ServerConnection) -> None:
    connection.recv()
    connection.close(4001, "too much")


def _stalls(connection: ServerConnection) -> None:
    connection.recv()
    threading.Event().wait(1.5)


_BEHAVIOURS = {"echoes": _echoes, "silent": _silent, "closes": _closes, "refuses": _refuses, "stalls": _stalls}
