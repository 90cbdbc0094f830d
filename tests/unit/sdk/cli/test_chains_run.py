from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.cli.chains.run import run
from penstock.cli.command_error import CommandError

SCRIPT = """\
import asyncio
import sys

import helper
import truss_chains as chains


class Doubled(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return 2 * x


if __name__ == "__main__":
    with chains.run_local():
        print(asyncio.run(Doubled().run_remote(int(sys.argv[1]))), sys.argv[1:], helper.NAME, __file__ == sys.argv[0])
    sys.exit(7)
"""


def test_a_file_runs_as_a_program_with_chains_there(tmp_path: Path) -> None:
    (tmp_path / "my_chain.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("NAME = 'helper'\n")
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli", "chains", "run", str(tmp_path / "my_chain.py"), "21", "--verbose"],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.sep,
    )
    assert (done.returncode, done.stdout) == (7, "42 ['21', '--verbose'] helper True\n"), done.stderr


def test_what_is_no_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="give a file to run"):
        run([])
    with pytest.raises(CommandError, match="there is no file"):
        run([str(tmp_path / "gone.py")])


def test_a_chain_without_run_local_says_that_nothing_was_made(tmp_path: Path) -> None:
    file = tmp_path / "quiet.py"
    file.write_text(
        "import truss_chains as chains\nclass A(chains.ChainletBase):\n    async def run_remote(self): ...\n"
    )
    # A process of its own: which modules were ever used counts.
    ran = subprocess.run(
        [sys.executable, "-m", "penstock.cli", "chains", "run", file], capture_output=True, text=True, check=True
    )
    assert ran.stderr == f"{file} was run, and made no chainlet: it has no `with chains.run_local():`\n"
