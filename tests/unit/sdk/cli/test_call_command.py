from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.api.control.v1 import admin_pb2
from penstock.cli.main import main
from penstock_testing.fake_admin import FakeAdmin

ServeModel = Callable[..., str]
Capture = pytest.CaptureFixture[str]


def status(url: str, *endpoints: str, source: str = "") -> admin_pb2.GetStatusResponse:
    deployment = admin_pb2.DeploymentStatus(
        name="m", deployment_id="m-1", environments=["production"], endpoints=endpoints, source=source
    )
    edge = admin_pb2.EdgeView(http_address=url.removeprefix("http://"))
    return admin_pb2.GetStatusResponse(deployments=[deployment], edges=[edge])


def test_a_websocket_model_is_talked_to(
    admin: FakeAdmin, controller: str, serve_model: ServeModel, capsys: Capture
) -> None:
    admin.answer("GetStatus", status(serve_model(), "websocket"))
    assert main(["call", "m", "hello", "--quiet", "0.05"]) == 0
    assert capsys.readouterr().out == "hello\n"


def test_what_no_replica_has_told_the_code_tells(
    admin: FakeAdmin, controller: str, serve_model: ServeModel, make_model: Callable[..., Path], capsys: Capture
) -> None:
    folder = make_model(code="class Model:\n    async def websocket(self, w): ...\n")
    admin.answer("GetStatus", status(serve_model(), source=str(folder)))
    assert main(["call", "m", "not JSON", "--quiet", "0.05"]) == 0
    assert capsys.readouterr().out == "not JSON\n"


def test_an_edge_and_a_kind_are_enough(serve_model: ServeModel, capsys: Capture, tmp_path: Path) -> None:
    url = serve_model().replace("http", "ws")
    nowhere = ["--state-dir", str(tmp_path)]
    assert main(["call", "m", "hello", "--ws", "--url", url, "--quiet", "0.05", *nowhere]) == 0
    assert capsys.readouterr().out == "hello\n"
    assert main(["call", "m", "hello", "--url", url, *nowhere]) == 1
    assert "With --url, say how the model is called: --predict or --ws" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["{}", "--file", "x"], "give DATA or --file, not both"),
        (["{}", "--url", "ftp://x", "--predict"], "--url: expected http://HOST:PORT"),
        (["no JSON", "--url", "http://127.0.0.1:1", "--predict"], "DATA is not JSON"),
    ],
)
def test_wrong_use_is_told(capsys: Capture, words: list[str], text: str) -> None:
    assert main(["call", "m", *words]) == 2
    assert text in capsys.readouterr().err


def test_an_edge_without_grpc_is_told(
    admin: FakeAdmin, controller: str, serve_model: ServeModel, capsys: Capture
) -> None:
    admin.answer("GetStatus", status(serve_model(), "predict"))
    assert main(["call", "m", "{}", "--grpc"]) == 1
    assert "this edge serves no gRPC" in capsys.readouterr().err
