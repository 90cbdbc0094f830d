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
    assert f"penstock up --watch {file}\n" in capsys.readouterr().out
    chain = asyncio.run(generate(ChainFile(file), tmp_path / "made")).chain
    assert [each.display_name for each in chain.chainlets] == ["RandInt", "HelloWorld"]
    assert (chain.name, chain.warnings) == ("hello", ())


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my_chain.py").write_text("mine")
    assert main(["chains", "init", str(tmp_path)]) == 2
    assert "holds my_chain.py already" in capsys.readouterr().err
    assert not (tmp_path / ".truss_ignore").exists()
