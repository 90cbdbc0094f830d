from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.command_error import CommandError
from penstock.cli.init.writing import write_new_files


def test_folders_are_made(tmp_path: Path) -> None:
    write_new_files(tmp_path / "new", {"a/b.py": "x"})
    assert (tmp_path / "new" / "a" / "b.py").read_text() == "x"


def test_nothing_is_written_where_one_file_is(tmp_path: Path) -> None:
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CommandError, match="holds b already, and nothing is overwritten"):
        write_new_files(tmp_path, {"a": "", "b": ""})
    assert not (tmp_path / "a").exists()


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="is not a folder"):
        write_new_files(tmp_path / "file", {"a": ""})
