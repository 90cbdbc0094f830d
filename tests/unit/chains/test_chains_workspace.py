from __future__ import annotations

from pathlib import Path

import pytest

from penstock.chains import workspace
from penstock.chains.errors import ChainsUsageError
from penstock.chains.workspace import list_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in ("chain.py", "lib/helper.py", "notes.log", ".git/HEAD", ".chains_generated/x/config.yaml"):
        (tmp_path / "work" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / path).write_text(path)
    return tmp_path / "work"


def names(folder: Path) -> list[str]:
    return list(list_folder(folder, what="the workspace"))


def test_everything_belongs_to_a_chain_but_what_patterns_leave_out(folder: Path) -> None:
    (folder / ".truss_ignore").write_text("*.log\n")
    assert names(folder) == [".truss_ignore", "chain.py", "lib/helper.py"]


def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "more.py").write_text("")
    (folder / "shared").symlink_to(tmp_path / "shared")
    (folder / "circle").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "gone")
    assert names(folder) == ["chain.py", "lib/helper.py", "notes.log", "shared/more.py"]


def test_programs_stay_programs(folder: Path) -> None:
    (folder / "chain.py").chmod(0o755)
    tree = list_folder(folder, what="the workspace")
    assert [path for path, file in tree.items() if file.is_executable] == ["chain.py"]


def test_too_many_files_are_refused_with_advice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "ENTRIES_MAX", 2)
    with pytest.raises(ChainsUsageError, match=r"the workspace: .* holds more than 2 files, .* a folder of its own"):
        names(folder)


def test_too_large_files_are_refused_with_advice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "CONTENT_BYTES_MAX", 10)
    with pytest.raises(ChainsUsageError, match="holds more than 0 MiB"):
        names(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChainsUsageError, match="data_dir: there is no folder"):
        list_folder(tmp_path / "gone", what="data_dir")
