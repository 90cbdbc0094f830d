from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.chains.chain_file import ChainFile
from penstock.cli.up.admin import ChainVersion
from penstock.cli.up.chains import ChainsInvalidError, UpChains
from penstock.cli.up.observation import Deployment, Observation, Phase, Replica
from penstock.cli.up.report import ServedChainlet

CHAIN = """\
import truss_chains as chains


class Alone(chains.ChainletBase):
    remote_config = chains.RemoteConfig(docker_image=chains.DockerImage(pip_requirements=["truss"]))

    async def run_remote(self, x: str) -> str:
        return x
"""


def write(folder: Path, name: str, source: str) -> ChainFile:
    file = folder / name / "a_chain.py"
    file.parent.mkdir()
    file.write_text(source)
    return ChainFile(file)


def test_chains_are_made_and_told_of(tmp_path: Path) -> None:
    notes: list[str] = []
    chains = UpChains([write(tmp_path, "one", CHAIN)], tmp_path / "chains", notes.append)

    asyncio.run(chains.generate())

    (spec,) = chains.specs(3)
    assert (spec.name, spec.replicas, spec.environment) == ("alone", 3, "")
    assert Path(spec.chainlets[0].source).is_relative_to(tmp_path / "chains")
    assert [note.partition(" is left")[0] for note in notes] == ["alone: warning: Alone: the requirement 'truss'"]
    observation = Observation(
        1, 1, (Deployment("alone", "alone-1", ready=2),), (Replica("r", "alone-1", Phase.READY, message="hm"),)
    )
    (served,) = chains.served(
        observation, [ChainVersion("alone", "alone-1", False, (("Alone", "alone-1"),), "alone-1")]
    )
    assert (served.name, served.is_websocket, served.example) == ("alone", False, '{"x": "hello"}')
    assert served.chainlets == (ServedChainlet("Alone", "alone-1", 2, True, note="hm"),)


def test_the_problems_of_all_files_are_told(tmp_path: Path) -> None:
    files = [write(tmp_path, "one", CHAIN.replace("x: str", "x")), write(tmp_path, "two", 'print("hi")\nx = (')]
    with pytest.raises(ChainsInvalidError) as failed:
        asyncio.run(UpChains(files, tmp_path / "chains", print).generate())
    text = str(failed.value)
    assert f"{files[0].file}: the chain cannot be served\n\n  The user defined code" in text
    assert "SyntaxError" in text


def test_two_chains_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path, "one", CHAIN), write(tmp_path, "two", CHAIN)]
    with pytest.raises(ChainsInvalidError, match="two chains are named 'alone'"):
        asyncio.run(UpChains(files, tmp_path / "chains", lambda _: None).generate())
