from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock_controller.chains.preparing import PreparedChain, find_folders, prepare_chain
from penstock_controller.chains.spec import WantedChain, WantedChainlet
from penstock_controller.errors import InvalidRequestError, NotFoundError
from penstock_controller.records import BuildState, ChainPlace


def truss(folder: Path, config: str = "", model: str = "class Model: ...\n") -> str:
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config)
    (folder / "model" / "model.py").write_text(model)
    return str(folder)


@pytest.fixture
def wanted(tmp_path: Path) -> WantedChain:
    entry = truss(tmp_path / "entry", "model_name: some_other_name\nrequirements: [numpy]\n")
    inner = truss(tmp_path / "inner", "penstock:\n  routes: [/mine]\n")
    return WantedChain(
        "hello",
        (
            WantedChainlet("Say", source=entry, is_entrypoint=True, dependencies=("Rand",)),
            WantedChainlet("Rand", source=inner),
        ),
    )


def prepared(chain: WantedChain, environment: str = "") -> PreparedChain:
    return prepare_chain(chain, {}, environment, now_wall=5.0)


def test_every_chainlet_becomes_a_deployment_with_its_place(wanted: WantedChain) -> None:
    chain = prepared(replace(wanted, replicas=3), "staging")

    entry, inner = chain.members
    assert (entry.name, inner.name) == ("hello", "hello.Rand")
    assert chain.entrypoint == entry
    assert (entry.deployment_id, entry.version_id, inner.version_id) == (chain.chain_id,) * 3
    assert inner.deployment_id == chain.chain_id.replace("hello-", "hello.Rand-")
    assert entry.chain == ChainPlace("hello", chain.chain_id, "Say", True, ("Rand",))
    assert inner.chain == ChainPlace("hello", chain.chain_id, "Rand", False, ())
    assert (entry.is_inner, inner.is_inner) == (False, True)
    assert {m.overrides.replicas for m in chain.members} == {3}
    assert {(m.created_wall, m.environments) for m in chain.members} == {(5.0, ("staging",))}
    assert (entry.build.state, inner.build.state) == (BuildState.WAITING, BuildState.NONE)
    assert inner.routes == (), "a path of its own would lead past the entrypoint"


def test_any_other_content_is_another_version_of_all(wanted: WantedChain) -> None:
    before = prepared(wanted)
    assert prepared(replace(wanted, chainlets=wanted.chainlets[::-1])).chain_id == before.chain_id
    assert prepared(replace(wanted, replicas=2)).chain_id == before.chain_id

    ids = {member.deployment_id for member in before.members}
    others = [
        replace(wanted, chainlets=(replace(wanted.chainlets[0], dependencies=()), wanted.chainlets[1])),
        replace(
            wanted, chainlets=(wanted.chainlets[0], replace(wanted.chainlets[1], source=wanted.chainlets[0].source))
        ),
    ]
    for other in others:
        assert ids.isdisjoint(member.deployment_id for member in prepared(other).members)
    Path(wanted.chainlets[1].source, "model/model.py").write_text("class Model: pass\n")
    assert ids.isdisjoint(member.deployment_id for member in prepared(wanted).members)


def test_every_directory_that_is_wrong_is_named(wanted: WantedChain, tmp_path: Path) -> None:
    (tmp_path / "entry" / "config.yaml").write_text("- no mapping")
    second = replace(wanted.chainlets[1], source="rand")

    with pytest.raises(InvalidRequestError) as caught:
        prepared(replace(wanted, chainlets=(wanted.chainlets[0], second)))

    assert "\n  chainlet 'Say': " in str(caught.value)
    assert "\n  chainlet 'Rand': source: must be an absolute path, got 'rand'" in str(caught.value)


def test_artifacts_are_looked_up_once_and_those_that_are_missing_are_named(wanted: WantedChain, tmp_path: Path) -> None:
    asked: list[str] = []

    def path_of(artifact: str) -> Path:
        asked.append(artifact)
        if artifact == "gone":
            raise NotFoundError("artifact gone is not stored here")
        return tmp_path / "entry"

    def of(*artifacts: str) -> WantedChain:
        return replace(
            wanted,
            chainlets=tuple(
                replace(chainlet, artifact=artifact, source="")
                for chainlet, artifact in zip(wanted.chainlets, artifacts, strict=True)
            ),
        )

    folders = find_folders(of("a", "a"), path_of)
    assert (folders, asked) == ({"a": str(tmp_path / "entry")}, ["a"])
    entry, inner = prepare_chain(of("a", "a"), folders, "", now_wall=5.0).members
    assert (entry.artifact, inner.artifact, entry.source) == ("a", "a", str(tmp_path / "entry"))
    assert entry.deployment_id != inner.deployment_id
    with pytest.raises(NotFoundError, match="chainlet 'Rand': artifact gone is not stored"):
        find_folders(of("a", "gone"), path_of)
    with pytest.raises(InvalidRequestError, match="environment: must be 1 to 63"):
        find_folders(replace(of("a", "gone"), environment="Prod!"), path_of)
