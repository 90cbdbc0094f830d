from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.lifeline import Lifeline
from penstock_controller.build_main import main


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    (tmp_path / "truss").mkdir()
    (tmp_path / "truss" / "config.yaml").write_text("model_name: echo\n")
    (tmp_path / "cache").mkdir()
    return [
        *("--model-dir", str(tmp_path / "truss")),
        *("--cache-dir", str(tmp_path / "cache")),
        *("--result", str(tmp_path / "result.json")),
    ]


def test_arguments_reach_the_preparation(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-P", "-m", main.__module__, *arguments], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert '"python": ""' in (tmp_path / "result.json").read_text()


def test_a_build_ends_with_its_owner(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "truss" / "config.yaml").write_text("build_commands: ['touch began; exec sleep 1000']\n")
    lifeline = Lifeline()
    with subprocess.Popen(
        [sys.executable, "-P", "-m", main.__module__, "--lifeline-fd", str(lifeline.read_fd), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lifeline.read_fd,),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        while b"sleep 1000" not in process.stdout.readline():
            assert process.poll() is None
        lifeline.close()
        # The output ends when everything that holds it has ended.
        process.communicate(timeout=30)
        assert process.returncode != 0


def test_what_is_no_pipe_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ValueError, match="lifeline-fd"):
        main(["--lifeline-fd", "999", *arguments])
