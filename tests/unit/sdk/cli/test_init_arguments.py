from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.main import main
from penstock.truss import load_config


@pytest.mark.parametrize(
    ("options", "method", "kind"),
    [
        ([], "async def websocket", "websocket"),
        (["--websocket"], "async def websocket", "websocket"),
        (["--predict"], "def predict", "http"),
    ],
)
def test_the_kind_of_model_can_be_chosen(tmp_path: Path, options: list[str], method: str, kind: str) -> None:
    folder = tmp_path / "new"
    assert main(["init", str(folder), *options]) == 0
    assert method in (folder / "model" / "model.py").read_text()
    assert load_config(folder).transport.kind == kind


def test_only_one_kind_can_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as failed:
        main(["init", str(tmp_path / "new"), "--predict", "--websocket"])
    assert failed.value.code == 2


def test_next_steps_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(tmp_path / "new"), "--name", "shouter"])
    printed = capsys.readouterr().out
    assert f"penstock up --watch {tmp_path / 'new'}\n" in printed
    assert "penstock call shouter hello\n" in printed
