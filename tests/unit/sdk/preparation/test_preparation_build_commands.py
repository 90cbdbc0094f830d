from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.preparation import build_commands as module
from penstock.preparation.build_commands import have_run, run_build_commands
from penstock.preparation.errors import PreparationError


def run(model_dir: Path, *commands: str, timeout_s: float = 20.0) -> list[str]:
    reported: list[str] = []
    folder = model_dir.parent / "env"
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    run_build_commands(
        commands,
        folder=folder,
        model_dir=model_dir,
        token="t1",
        environ=os.environ,
        timeout_s=timeout_s,
        report=reported.append,
    )
    return reported


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "model dir"
    folder.mkdir()
    return folder


def test_commands_run_in_order_in_the_models_folder_each_in_its_own_shell(model_dir: Path) -> None:
    reported = run(model_dir, "mkdir made && cd made && X=1", "pwd; echo [$X]")

    assert (model_dir / "made").is_dir()
    assert reported == [
        "build command 1 of 2: mkdir made && cd made && X=1",
        "build command 2 of 2: pwd; echo [$X]",
        f"  {model_dir}",
        "  []",
    ]


def test_programs_of_the_environment_go_first(model_dir: Path) -> None:
    tool = model_dir.parent / "env" / "bin" / "ls"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho ours $VIRTUAL_ENV\n")
    tool.chmod(0o755)

    assert run(model_dir, "ls")[-1] == f"  ours {tool.parent.parent}"


def test_a_failed_command_is_named_with_its_last_lines_and_the_rest_does_not_run(model_dir: Path) -> None:
    with pytest.raises(PreparationError) as failed:
        run(model_dir, "true", "seq 1 50; echo broken >&2; exit 7", "touch after")

    text = str(failed.value).splitlines()
    assert text[0] == ("config.yaml: build_commands: number 2 ended with status 7: seq 1 50; echo broken >&2; exit 7")
    assert text[-1] == "  broken"
    assert len(text) == 1 + module.LINES_SHOWN
    assert not (model_dir / "after").exists()
    assert not have_run(model_dir, "t1")


def test_a_command_that_hangs_is_ended(model_dir: Path) -> None:
    with pytest.raises(PreparationError, match="number 1 took too long"):
        run(model_dir, "sleep 100", timeout_s=0.3)


def test_a_folder_knows_for_which_build_the_commands_have_run(model_dir: Path) -> None:
    assert not have_run(model_dir, "t1")

    run(model_dir, "true")

    assert have_run(model_dir, "t1")
    assert not have_run(model_dir, "t2")


def test_a_folder_that_cannot_be_written_is_an_error(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(PreparationError, match="cannot be written"):
        run(model_dir, "true")
