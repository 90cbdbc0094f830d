from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.chains.errors import ChainsUsageError
from penstock.chains.workspace import SourceFile, Tree
from penstock.chains.written_tree import write_tree


def paths(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_right_is_not_touched(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("x = 1")
    tree: Tree = {"config.yaml": SourceFile(b"a: 1"), "packages/source.py": SourceFile(copied_from=source)}
    folder = tmp_path / "made"

    assert write_tree(folder, tree) == ("config.yaml", "packages/source.py")
    before = [(folder / path).stat().st_ino for path in tree]
    assert write_tree(folder, tree) == ()
    assert [(folder / path).stat().st_ino for path in tree] == before


def test_what_was_saved_is_written_again(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("x = 1")
    tree: Tree = {"packages/source.py": SourceFile(copied_from=source)}
    write_tree(tmp_path / "made", tree)
    source.write_text("x = 2")
    os.utime(source, ns=(1, 1))

    assert write_tree(tmp_path / "made", tree) == ("packages/source.py",)
    assert (tmp_path / "made/packages/source.py").read_text() == "x = 2"


def test_what_is_gone_is_removed_from_the_code_only(tmp_path: Path) -> None:
    write_tree(tmp_path, {"packages/old/a.py": SourceFile(b""), "packages/b.py": SourceFile(b"")})
    for path in ("packages/__pycache__/b.pyc", "data/of_the_model", "made_by_a_build_command"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")

    assert write_tree(tmp_path, {"packages/b.py": SourceFile(b"")}) == ("packages/old/a.py",)
    assert paths(tmp_path) == [
        "data/of_the_model",
        "made_by_a_build_command",
        "packages/__pycache__/b.pyc",
        "packages/b.py",
    ]
    assert not (tmp_path / "packages/old").exists()


def test_files_and_folders_may_change_places(tmp_path: Path) -> None:
    write_tree(tmp_path, {"packages/a": SourceFile(b"a file")})
    write_tree(tmp_path, {"packages/a/b": SourceFile(b"in a folder")})
    assert (tmp_path / "packages/a/b").read_bytes() == b"in a folder"
    write_tree(tmp_path, {"packages/a": SourceFile(b"a file")})
    assert (tmp_path / "packages/a").read_bytes() == b"a file"


def test_a_link_above_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_tree(tmp_path / "link" / "made", {"model/model.py": SourceFile(b"")})
    assert (tmp_path / "link").is_symlink()
    assert paths(tmp_path / "real") == ["made/model/model.py"]


def test_programs_stay_programs(tmp_path: Path) -> None:
    write_tree(tmp_path, {"tool": SourceFile(b"", is_executable=True), "text": SourceFile(b"")})
    assert [(tmp_path / name).stat().st_mode & 0o111 for name in ("tool", "text")] == [0o111, 0]


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChainsUsageError, match=r"cannot write .*gone\.py: No such file"):
        write_tree(tmp_path, {"a.py": SourceFile(copied_from=tmp_path / "gone.py")})
