from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from penstock.api.control.v1 import admin_pb2, artifact_pb2, chain_pb2
from penstock.cli.main import main
from penstock_testing.fake_admin import FakeAdmin

CHAIN = """\
import truss_chains as chains


class Inner(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x


@chains.mark_entrypoint("My Chain")
class Entry(chains.ChainletBase):
    def __init__(self, inner: Inner = chains.depends(Inner)) -> None:
        self._inner = inner

    async def run_remote(self, x: int) -> int:
        return await self._inner.run_remote(x)
"""

CREATED = chain_pb2.CreateChainResponse(
    chain=chain_pb2.CreatedChain(
        name="my-chain",
        chain_id="my-chain-1",
        environment="production",
        chainlets=[
            chain_pb2.CreatedChainlet(name="Inner", deployment_id="my-chain.Inner-1"),
            chain_pb2.CreatedChainlet(name="Entry", deployment_id="my-chain-1", is_entrypoint=True),
        ],
    )
)


def status(inner: str = "ACTIVE", entry: str = "ACTIVE") -> admin_pb2.GetStatusResponse:
    def deployment(deployment_id: str, phase: str) -> admin_pb2.DeploymentStatus:
        message = "it ran\nout of memory" if "FAILED" in phase else ""
        return admin_pb2.DeploymentStatus(
            deployment_id=deployment_id, phase=phase, message=message, environments=["production"]
        )

    return admin_pb2.GetStatusResponse(
        deployments=[deployment("my-chain.Inner-1", inner), deployment("my-chain-1", entry)],
        edges=[admin_pb2.EdgeView(http_address="127.0.0.1:8000")],
    )


@pytest.fixture
def stored(admin: FakeAdmin, controller: str) -> FakeAdmin:
    """A controller that has every artifact."""
    admin.answer("GetArtifact", artifact_pb2.GetArtifactResponse(is_stored=True))
    admin.answer("CreateChain", CREATED)
    admin.answer("GetStatus", status())
    return admin


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    file = tmp_path / "work" / "my_chain.py"
    file.parent.mkdir()
    file.write_text(CHAIN)
    return file


def test_a_chain_is_sent_and_awaited(stored: FakeAdmin, chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored.answer("GetStatus", status(entry="BUILDING"), status())

    assert main(["chains", "push", str(chain), "--promote", "--wait"]) == 0

    spec = stored.requests["CreateChain"][0].chain
    assert (spec.name, spec.environment) == ("my-chain", "production")
    inner, entry = spec.chainlets
    assert (inner.name, inner.is_entrypoint, list(inner.dependencies)) == ("Inner", False, [])
    assert (entry.name, entry.is_entrypoint, list(entry.dependencies)) == ("Entry", True, ["Inner"])
    asked = [request.artifact for request in stored.requests["GetArtifact"]]
    assert [inner.artifact, entry.artifact] == asked
    assert inner.source == ""
    out, err = capsys.readouterr()
    assert "  http://127.0.0.1:8000/chain/my-chain/run_remote\n" in out
    assert "  penstock call my-chain '{\"x\": 1}'" in out
    assert "my-chain-1: building its environment" in err


def test_a_chainlet_that_will_not_serve_is_named(
    stored: FakeAdmin, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.answer("GetStatus", status(inner="DEPLOY_FAILED"))

    assert main(["chains", "push", str(chain), "--environment", "staging", "--wait", "-o", "json"]) == 1

    assert stored.requests["CreateChain"][0].chain.environment == "staging"
    out, err = capsys.readouterr()
    assert json.loads(out)["chainlets"][0]["phase"] == "DEPLOY_FAILED"
    assert "penstock chains: my-chain-1 will not serve\nInner (DEPLOY_FAILED): it ran\nout of memory\n" in err
    assert "penstock logs my-chain.Inner-1" in err


def test_a_chain_that_does_not_serve_in_time_goes_on(
    stored: FakeAdmin, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.answer("GetStatus", status(inner="LOADING_MODEL"))
    assert main(["chains", "push", str(chain), "--wait", "--timeout", "0.01"]) == 124
    assert "does not serve after 0.01 s; it goes on: Inner (LOADING_MODEL)" in capsys.readouterr().err


def test_a_dry_run_sends_nothing(
    admin: FakeAdmin,
    controller: str,
    chain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["chains", "push", str(chain), "--dryrun"]) == 0
    folder = tmp_path / ".chains_generated" / "my_chain" / "chainlet_Entry"
    assert f"  {folder}  (entrypoint)\n" in capsys.readouterr().out
    assert (folder / "config.yaml").is_file()
    assert admin.requests == {}


def test_a_chain_that_breaks_rules_is_wrong_use(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain.write_text('print("hello")\n' + CHAIN.replace("x: int", "x"))
    assert main(["chains", "push", str(chain)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("hello\npenstock chains: my_chain.py cannot be deployed\n")
    assert err.count("[kind: IO_TYPE_ERROR]") == 2


def test_what_is_no_file_is_wrong_use(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chains", "push", str(chain.parent)]) == 2
    assert main(["chains", "push", str(chain.with_name("gone.py"))]) == 2
    err = capsys.readouterr().err
    assert "is a folder; give the Python file of the chain" in err
    assert "there is no file" in err


def test_a_version_that_serves_production_already_is_not_offered_to_it(
    stored: FakeAdmin, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = chain_pb2.CreateChainResponse()
    again.CopyFrom(CREATED)
    again.chain.environment, again.chain.existed = "", True
    stored.answer("CreateChain", again)

    assert main(["chains", "push", str(chain)]) == 0

    said = capsys.readouterr().out
    assert "(was there already)\n  production points to it\n" in said
    assert "/chain/my-chain/run_remote" in said and "controller promote" not in said
