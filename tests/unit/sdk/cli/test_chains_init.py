from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.chains.chain_file import ChainFile
from penstock.chains.generation import generate
from penstock.cli.main import main


def test_the_new_chain_can_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chains", "init", str(tmp_path / "new")]) == 0

    file = tmp_path / "new" / "my_chain.py"
    said = capsys.readouterr().out
    assert f"penstock up --watch {file}\n" in said
    assert "penstock call new '{" in said
    chain = asyncio.run(generate(ChainFile(file), tmp_path / "made")).chain
    assert [each.display_name for each in chain.chainlets] == ["RandInt", "HelloWorld"]
    assert (chain.name, chain.warnings) == ("new", ())


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my_chain.py").write_text("mine")
    assert main(["chains", "init", str(tmp_path)]) == 2
    assert "holds my_chain.py already" in capsys.readouterr().err
    assert not (tmp_path / ".truss_ignore").exists()


def test_the_chain_has_the_name_of_its_folder_or_the_one_that_is_given(tmp_path: Path) -> None:
    assert main(["chains", "init", str(tmp_path / "My Chain")]) == 0
    assert main(["chains", "init", "--name", "rain", str(tmp_path / "b")]) == 0

    assert '@chains.mark_entrypoint("my-chain")' in (tmp_path / "My Chain" / "my_chain.py").read_text()
    assert '@chains.mark_entrypoint("rain")' in (tmp_path / "b" / "my_chain.py").read_text()


def test_a_name_that_cannot_be_one_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chains", "init", str(tmp_path / "new"), "--name", "雨"]) == 2
    assert main(["chains", "init", str(tmp_path / "雨")]) == 2

    said = capsys.readouterr().err
    assert "--name must give" in said and "the folder's name must give" in said
    assert not list(tmp_path.iterdir())
