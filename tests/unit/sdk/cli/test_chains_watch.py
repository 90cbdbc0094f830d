from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, chain_pb2
from penstock.cli.chains.chain_watch import ChainWatch
from penstock.cli.main import main
from penstock_testing.fake_admin import FakeAdmin, refusal


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "work" / "my_chain.py"
    file.parent.mkdir()
    file.write_text(
        "import truss_chains as chains\n\n\nclass Alone(chains.ChainletBase):\n"
        "    async def run_remote(self, x: int) -> int:\n        return x\n"
    )
    return file


def test_a_chain_is_deployed_and_watched_until_it_is_interrupted(
    admin: FakeAdmin,
    controller: str,
    chain: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    created = chain_pb2.CreatedChain(name="two", chain_id="two-1")
    created.chainlets.add(name="Alone", deployment_id="two-1", is_entrypoint=True)
    admin.answer("CreateChain", chain_pb2.CreateChainResponse(chain=created))
    deployment = admin_pb2.DeploymentStatus(name="two", deployment_id="two-1", environments=["development"])
    admin.answer("GetStatus", admin_pb2.GetStatusResponse(deployments=[deployment]))
    looked = ChainWatch._look_at

    async def look_once(watch: ChainWatch, coming: object) -> None:
        await looked(watch, coming)  # type: ignore[arg-type]  # as it was called
        raise KeyboardInterrupt

    monkeypatch.setattr(ChainWatch, "_look_at", look_once)

    assert main(["chains", "watch", str(chain), "--name", "two"]) == 0

    spec = admin.requests["CreateChain"][0].chain
    assert (spec.name, spec.environment) == ("two", "development")
    directory = Path(spec.chainlets[0].source)
    assert directory.is_relative_to(chain.parent.parent / "state" / "watched_chains")
    assert (directory / "config.yaml").is_file()
    out = capsys.readouterr().out
    assert "two: call it with: penstock call two --environment development\n" in out
    assert out.endswith("the watch has ended; the chain goes on serving\n")


def test_a_chain_that_is_refused_ends_the_watch(
    admin: FakeAdmin, controller: str, chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.answer("CreateChain", refusal(grpc.StatusCode.FAILED_PRECONDITION, "a model has this name"))
    assert main(["chains", "watch", str(chain)]) == 1
    assert "penstock chains: the controller refused: a model has this name" in capsys.readouterr().err


def test_without_a_controller_there_is_nothing_to_watch(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chains", "watch", str(chain)]) == 1
    assert "--controller" in capsys.readouterr().err
