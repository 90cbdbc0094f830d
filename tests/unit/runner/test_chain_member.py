from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from penstock.api.control.v1 import control_pb2
from penstock.chains.remote import runtime
from penstock.chains.remote.caller import ChainCaller
from penstock.truss import parse_config
from penstock_runner.chain_member import ChainMember, is_chainlet
from penstock_runner.options import parse_options
from penstock_runner.process import RunnerProcess
from penstock_runner.server import RunnerServer
from penstock_testing.fake_controller import FakeController

CHAINLET = "model_metadata: {chains_metadata: {chain: hello, chainlet: RandInt}}\n"
PEERS = control_pb2.ChainPeers(
    chain="hello",
    chain_id="hello-1",
    chainlets=[control_pb2.ChainPeer(chainlet="RandInt", deployment_id="hello.RandInt-2", name="hello.RandInt")],
    edge_addresses=["10.0.0.1:7000", "10.0.0.2:7000"],
    http_address="10.0.0.1:8000",
)
MODEL = """
import pathlib
from penstock.chains.remote import runtime

class Model:
    def load(self):
        caller = runtime.installed()
        peers = None if caller is None else caller.peers(20.0)
        pathlib.Path("seen").write_text("nothing" if peers is None else f"{peers.chain} {sorted(peers.chainlets)}")

    def predict(self, inputs):
        return inputs
"""


@pytest.mark.parametrize(
    ("config", "expected"),
    [(CHAINLET, True), ("", False), ("model_metadata: {a: 1}\n", False)],
)
def test_a_chainlet_is_known_by_its_config(config: str, expected: bool) -> None:
    assert is_chainlet(parse_config(config.encode(), name_default="m")) is expected


def test_what_the_controller_says_is_there_for_stubs() -> None:
    async def main() -> None:
        member = ChainMember("r1")
        try:
            caller = runtime.installed()
            assert isinstance(caller, ChainCaller)
            with structlog.testing.capture_logs() as logs:
                member.take(PEERS)

            peers = caller.peers(0.0)

            assert (peers.chain, peers.chain_id, peers.http_address) == ("hello", "hello-1", "10.0.0.1:8000")
            assert peers.chainlets == {"RandInt": runtime.Peer("RandInt", "hello.RandInt-2", "hello.RandInt")}
            assert peers.edge_addresses == ("10.0.0.1:7000", "10.0.0.2:7000")
            assert [entry["event"] for entry in logs] == ["chain_peers"]
        finally:
            await member.stop()
        assert runtime.installed() is None

    asyncio.run(main())


def run(folder: Path, controller: FakeController | None, config: str) -> str:
    """Runs a runner until its model is loaded; returns what `load` has seen."""
    (folder / "model").mkdir()
    (folder / "model" / "model.py").write_text(MODEL)
    (folder / "config.yaml").write_text(config)
    arguments = ["--model-dir", str(folder), "--replica-id", "r", "--deployment-id", "d", "--drain-timeout", "0"]
    options = parse_options(arguments + ([] if controller is None else ["--controller", controller.address]))

    async def main() -> int:
        process = RunnerProcess(
            options,
            lambda replica_id, deployment_id, settings, on_change: RunnerServer(
                replica_id=replica_id, deployment_id=deployment_id, settings=settings, on_change=on_change
            ),
        )
        running = asyncio.create_task(process.run())
        while not (folder / "seen").exists() or not (folder / "seen").read_text():
            assert not running.done(), running.result()
            await asyncio.sleep(0)
        process._stop.set()
        return await running

    assert asyncio.run(main()) == 0
    return (folder / "seen").read_text()


@pytest.fixture
def _untouched_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda _number, _handler: None)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("_untouched_process")
def test_a_chainlet_learns_of_its_siblings_while_it_loads(tmp_path: Path) -> None:
    with FakeController() as controller:
        controller.say(control_pb2.AttachResponse(chain_peers=PEERS))

        assert run(tmp_path, controller, CHAINLET) == "hello ['RandInt']"
    assert runtime.installed() is None


@pytest.mark.usefixtures("_untouched_process")
@pytest.mark.parametrize("is_alone", [True, False])
def test_nothing_is_installed_without_a_controller_or_a_chain(tmp_path: Path, is_alone: bool) -> None:
    with FakeController() as controller:
        seen = run(tmp_path, None if is_alone else controller, CHAINLET if is_alone else "")

    assert seen == "nothing"
