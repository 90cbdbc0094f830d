from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.chains import generation
from penstock.chains.chain_file import ChainFile
from penstock.chains.generation import GenerationError, generate


def write(tmp_path: Path, source: str) -> ChainFile:
    file = tmp_path / "work" / "one_chain.py"
    file.parent.mkdir()
    file.write_text(source)
    return ChainFile(file)


def test_a_chain_is_made_by_a_process_of_its_own(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'import truss_chains as chains\nprint("imported")\n\n\nclass Alone(chains.ChainletBase):\n'
        "    async def run_remote(self, x: int) -> int:\n        return x\n",
    )
    found = asyncio.run(generate(file, tmp_path / "made"))
    assert (found.chain.name, found.output) == ("alone", "imported")
    assert found.chain.sources == (file.file.parent,)
    assert (found.chain.entrypoint.directory / "model" / "model.py").is_file()
    assert found.chain.entrypoint.example == '{"x": 1}'


def test_a_file_that_kills_its_process_is_told_with_its_last_words(tmp_path: Path) -> None:
    file = write(tmp_path, 'import os\nprint("bye", flush=True)\nos._exit(9)\n')
    with pytest.raises(GenerationError, match=r"the process that imports it has died:\nbye"):
        asyncio.run(generate(file, tmp_path / "made"))


def test_a_file_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "TIMEOUT_S", 0.05)
    file = write(tmp_path, "import threading\nthreading.Event().wait()\n")
    with pytest.raises(GenerationError, match="importing the chain's file takes more than 0 s"):
        asyncio.run(generate(file, tmp_path / "made"))
