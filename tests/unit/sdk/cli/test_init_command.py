from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli import exit_status
from penstock.cli.command_error import CommandError
from penstock.cli.init.command import init
from penstock.scaffold import Kind
from penstock.truss import load_config


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_name_is_that_of_the_folder(tmp_path: Path) -> None:
    init(tmp_path / "My Model", None, Kind.PREDICT)
    assert load_config(tmp_path / "My Model").model_name == "my-model"


def test_nothing_is_overwritten_and_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.py").write_text("mine")
    before = files(tmp_path)
    with pytest.raises(CommandError, match=r"holds model/model.py already") as failed:
        init(tmp_path, "x", Kind.WEBSOCKET)
    assert failed.value.status == exit_status.USAGE
    assert files(tmp_path) == before


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match=r"config.yaml already"):
        init(tmp_path, "x", Kind.WEBSOCKET)
    assert not (tmp_path / "elsewhere").exists()


def test_other_files_of_the_folder_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    init(tmp_path, "x", Kind.WEBSOCKET)
    assert load_config(tmp_path).model_name == "x"


@pytest.mark.parametrize("name", ["", "Upper", "-x", "a" * 64, "a/b"])
def test_a_name_that_no_controller_takes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match="--name: must be"):
        init(tmp_path / "new", name, Kind.WEBSOCKET)
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="is not a folder"):
        init(tmp_path / "file", "x", Kind.WEBSOCKET)
