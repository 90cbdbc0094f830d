from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import rich.progress

from penstock.api.control.v1 import admin_pb2, artifact_pb2, chain_pb2
from penstock.chains.errors import ChainsDeploymentError, ChainsRuntimeError, ChainsUsageError
from penstock.chains.service import ChainService, DeployedChainlet, push
from penstock_testing.chain_kit import Define
from penstock_testing.fake_admin import FakeAdmin, served

SOURCE = """
class Inner(chains.ChainletBase):
    async def run_remote(self, x: int) -> int: ...

class Entry(chains.ChainletBase):
    def __init__(self, inner: Inner = chains.depends(Inner)) -> None: ...
    async def run_remote(self, x: int) -> int: ...
"""
CREATED = chain_pb2.CreatedChain(
    name="my-chain",
    chain_id="my-chain-1",
    chainlets=[
        chain_pb2.CreatedChainlet(name="Inner", deployment_id="my-chain.Inner-1"),
        chain_pb2.CreatedChainlet(name="Entry", deployment_id="my-chain-1", is_entrypoint=True),
    ],
)


class _Edge(BaseHTTPRequestHandler):
    """Answers 1 with 2, and everything else with an error."""

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_good = given == {"x": 1} and self.path == "/chain/my-chain/deployment/my-chain-1/run_remote"
        body = json.dumps(2 if is_good else {"error": "no such number"}).encode()
        self.send_response(200 if is_good else 422)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def edge() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Edge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def admin(edge: str) -> FakeAdmin:
    admin = FakeAdmin()
    admin.answer("GetArtifact", artifact_pb2.GetArtifactResponse(is_stored=True))
    admin.answer("CreateChain", chain_pb2.CreateChainResponse(chain=CREATED))
    status = admin_pb2.GetStatusResponse(edges=[admin_pb2.EdgeView(http_address=edge)])
    status.deployments.add(deployment_id="my-chain-1", phase="ACTIVE")
    admin.answer("GetStatus", status)
    return admin


@pytest.fixture
def controller(admin: FakeAdmin) -> Iterator[str]:
    with served(admin) as address:
        yield address


def test_a_chain_is_deployed_and_called(admin: FakeAdmin, controller: str, edge: str, define: Define) -> None:
    service = push(define(SOURCE).Entry, "My Chain", remote=controller)

    spec = admin.requests["CreateChain"][0].chain
    assert (spec.name, spec.environment) == ("my-chain", "production")
    assert [(each.name, bool(each.artifact)) for each in spec.chainlets] == [("Inner", True), ("Entry", True)]
    assert (service.name, service.chain_id) == ("my-chain", "my-chain-1")
    assert service.run_remote_url == f"http://{edge}/chain/my-chain/deployment/my-chain-1/run_remote"
    assert service.status_page_url == f"controller status --address {controller}"
    assert service.run_remote({"x": 1}) == 2
    assert service.get_info() == [
        DeployedChainlet("Inner", False, "INACTIVE", "penstock logs my-chain.Inner-1"),
        DeployedChainlet("Entry", True, "ACTIVE", "penstock logs my-chain-1"),
    ]
    with pytest.raises(ChainsRuntimeError, match=r"^HTTP status 422: no such number$"):
        service.run_remote({"x": 3})


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ({"promote": False}, ""),
        ({"publish": False}, ""),
        ({"environment": "staging"}, "staging"),
        ({"environment": "staging", "promote": False}, "staging"),
    ],
    ids=["no promotion", "a draft", "an environment", "an environment alone"],
)
def test_an_environment_points_to_it_when_asked(
    admin: FakeAdmin, controller: str, define: Define, arguments: dict[str, Any], environment: str
) -> None:
    push(define(SOURCE).Entry, "My Chain", remote=controller, **arguments)
    assert admin.requests["CreateChain"][0].chain.environment == environment


def test_a_name_of_a_remote_means_the_controller_that_commands_find(
    admin: FakeAdmin, controller: str, define: Define, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_CONTROLLER", controller)
    service = push(define(SOURCE).Entry, "My Chain", remote="baseten")
    assert len(admin.requests["CreateChain"]) == 1
    assert service.status_page_url == "controller status"


def test_progress_is_shown_by_the_class_that_is_given(controller: str, define: Define) -> None:
    shown: list[tuple[str, float, float | None]] = []

    class Bar(rich.progress.Progress):
        def __init__(self) -> None:
            super().__init__(disable=True)

        def stop(self) -> None:
            shown.extend((task.description, task.completed, task.total) for task in self.tasks)
            super().stop()

    push(define(SOURCE).Entry, "My Chain", remote=controller, progress_bar=Bar)
    assert shown == [("my-chain: deployed", 3, 3)]


def test_a_chain_may_only_be_written(define: Define, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    service = push(define(SOURCE).Entry, "My Chain", only_generate_trusses=True)
    assert (tmp_path / ".chains_generated" / "my-chain" / "chainlet_Entry" / "config.yaml").is_file()
    assert service.name == "my-chain"
    with pytest.raises(ChainsDeploymentError, match="only generated"):
        service.get_info()


def test_a_controller_that_does_not_answer_is_told(define: Define, tmp_path: Path) -> None:
    with pytest.raises(ChainsDeploymentError, match="no answer from the controller at unix:"):
        push(define(SOURCE).Entry, "My Chain", remote=f"unix:{tmp_path}/none.sock")


def test_an_entrypoint_with_a_websocket_has_an_address_only(controller: str, edge: str) -> None:
    service = ChainService("my-chain", controller=controller, created=CREATED, kind="websocket")
    url = f"ws://{edge}/chain/my-chain/deployment/my-chain-1/websocket"
    assert service.run_remote_url == url
    with pytest.raises(ChainsUsageError, match=f"takes a WebSocket; connect to {url}"):
        service.run_remote({})
