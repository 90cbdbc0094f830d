"""A chain on a real controller with fake runners: created, replaced while it has streams, and rolled back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
from google.protobuf import text_format

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, chain_pb2, control_pb2, control_pb2_grpc
from penstock_controller.chains.preparing import PreparedChain, prepare_chain
from penstock_controller.chains.spec import WantedChain, WantedChainlet
from penstock_testing.controller_process import WAIT_S, Controller, eventually

INNER = "127.0.0.1:9999"


class Chain:
    """Directories of a chain whose entrypoint calls one chainlet, and the controller that serves it."""

    def __init__(self, controller: Controller, folder: Path) -> None:
        self.controller = controller
        self.folder = folder

    def prepared(self, model: str) -> PreparedChain:
        """Writes the code of a version; returns what the controller will make of it."""
        chainlets = []
        for name, dependencies in (("Talk", ("Say",)), ("Say", ())):
            directory = self.folder / name
            (directory / "model").mkdir(parents=True, exist_ok=True)
            (directory / "config.yaml").write_text("{}\n")
            (directory / "model" / "model.py").write_text(model)
            chainlets.append(WantedChainlet(name, "", str(directory), name == "Talk", dependencies))
        self.wanted = WantedChain("voice", tuple(chainlets))
        return prepare_chain(self.wanted, {}, "", now_wall=0.0)

    def create(self, environment: str = "") -> chain_pb2.CreatedChain:
        spec = chain_pb2.ChainSpec(
            name="voice",
            environment=environment,
            chainlets=[
                chain_pb2.ChainletSpec(
                    name=c.name, source=c.source, is_entrypoint=c.is_entrypoint, dependencies=c.dependencies
                )
                for c in self.wanted.chainlets
            ],
        )
        with grpc.insecure_channel(self.controller.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            return stub.CreateChain(chain_pb2.CreateChainRequest(chain=spec), timeout=WAIT_S).chain

    def promote(self, name: str) -> admin_pb2.PromoteDeploymentResponse:
        with grpc.insecure_channel(self.controller.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            return stub.PromoteDeployment(admin_pb2.PromoteDeploymentRequest(deployment=name), timeout=WAIT_S)

    def pointed_at(self) -> set[str]:
        """Where production points; always to all of one version."""
        found = {d.deployment_id for d in self.controller.status().deployments if "production" in d.environments}
        assert len({deployment_id.rpartition("-")[2] for deployment_id in found}) == 1, found
        assert len(found) == 2
        return found

    def replicas(self, ids: set[str]) -> list[admin_pb2.ReplicaView]:
        return [r for r in self.controller.status().replicas if r.deployment_id in ids]

    def peers(self, replica_id: str) -> control_pb2.ChainPeers:
        try:
            text = (self.controller.behaviour / f"peers.{replica_id}").read_text()
        except FileNotFoundError:
            return control_pb2.ChainPeers()
        return text_format.Parse(text, control_pb2.ChainPeers())


def ids_of(chain: PreparedChain) -> tuple[str, str]:
    entry, inner = (member.deployment_id for member in chain.members)
    return entry, inner


def test_a_chain_is_replaced_as_a_whole_while_streams_are_open_and_rolled_back(
    controller: Controller, tmp_path: Path
) -> None:
    chain = Chain(controller, tmp_path)
    controller.start()
    first = entry1, inner1 = ids_of(chain.prepared("# one\n"))
    made = chain.create()
    assert (made.chain_id, made.environment, {c.deployment_id for c in made.chainlets}) == (
        entry1,
        "production",
        set(first),
    )
    controller.wait_ready(2)
    assert chain.pointed_at() == set(first)
    (controller.behaviour / f"streams.{entry1}").write_text("1")

    second = entry2, inner2 = ids_of(chain.prepared("# two\n"))
    assert set(first).isdisjoint(second)
    (controller.behaviour / f"loading.{inner2}").touch()
    chain.create("production")
    controller.wait_ready(3)
    controller.kill()
    controller.start()
    controller.wait_ready(3)
    eventually(lambda: not controller.status().controller.recovering, "every replica has come back")
    controller.wait_streams(1)
    assert chain.pointed_at() == set(first)
    (controller.behaviour / f"loading.{inner2}").unlink()
    eventually(lambda: chain.pointed_at() == set(second), "production points to the second version")

    # The entrypoint's stream may call the other one, which has none itself.
    assert len(chain.replicas({inner1})) == 1
    assert chain.replicas({entry1})[0].active_streams == 1
    (shown,) = [d for d in controller.status().deployments if d.deployment_id == inner1]
    assert (shown.superseded, shown.chain.chain_id, shown.chain.is_entrypoint) == (True, entry1, False)
    assert "may call it" in shown.blocked
    (controller.behaviour / f"streams.{entry1}").write_text("0")
    eventually(lambda: not chain.replicas(set(first)), "nothing of the first version is left")

    answer = chain.promote(entry1)
    assert (answer.pending, answer.chainlets, answer.from_deployment_id) == (True, 2, entry2)
    eventually(lambda: chain.pointed_at() == set(first), "production points to the first version again")


def test_replicas_of_a_chain_learn_of_one_another_and_of_edges(controller: Controller, tmp_path: Path) -> None:
    chain = Chain(controller, tmp_path)
    controller.start()
    entry, inner = ids_of(chain.prepared("# one\n"))
    chain.create()
    replicas = [r.replica_id for r in controller.wait_ready(2)]
    eventually(lambda: all(chain.peers(r).chain_id == entry for r in replicas), "both know their chain")
    told = chain.peers(replicas[0])
    assert {(c.chainlet, c.deployment_id, c.name) for c in told.chainlets} == {
        ("Talk", entry, "voice"),
        ("Say", inner, "voice.Say"),
    }
    assert list(told.edge_addresses) == []

    leaves = threading.Event()

    def requests() -> Iterator[control_pb2.WatchRequest]:
        subscribe = control_pb2.Subscribe(edge_id="edge-1", http_address="127.0.0.1:80", inner_address=INNER)
        yield control_pb2.WatchRequest(subscribe=subscribe)
        leaves.wait(WAIT_S)

    with grpc.insecure_channel(controller.address) as channel:
        watch = control_pb2_grpc.EdgeSessionServiceStub(channel).Watch(requests())
        kinds = {d.name: d.kind for d in next(watch).snapshot.deployments}
        assert kinds == dict.fromkeys(("voice", "voice.Say"), control_pb2.DEPLOYMENT_KIND_CHAIN)
        eventually(lambda: all(list(chain.peers(r).edge_addresses) == [INNER] for r in replicas), "both know the edge")
        assert chain.peers(replicas[1]).http_address == "127.0.0.1:80"
        leaves.set()
        watch.cancel()
    eventually(lambda: not any(chain.peers(r).edge_addresses for r in replicas), "both know that it is gone")
