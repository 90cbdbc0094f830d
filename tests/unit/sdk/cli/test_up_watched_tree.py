from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.cli.up import watched_tree
from penstock.cli.up.watched_tree import WatchedTree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("model/model.py", "data/weights.bin", ".git/HEAD", "model/__pycache__/m.pyc", "config.yaml"):
        path = tmp_path / "m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    return tmp_path / "m"


def test_only_what_may_matter_is_looked_at(root: Path) -> None:
    (root / ".truss_ignore").write_text("notes/\n")
    (root / "notes").mkdir()
    for name in ("notes/a.py", "model/.model.py.swp", "model/model.py~", "model/.#model.py", "model/4913"):
        (root / name).write_text("1")
    scan = WatchedTree(root, skipped=["data"]).scan()
    assert set(scan.files) == {"model/model.py", "config.yaml", ".truss_ignore"}
    assert scan.is_complete


def test_saved_new_moved_and_removed_files_are_changes(root: Path) -> None:
    tree = WatchedTree(root)
    before = tree.scan()
    assert before.changes(tree.scan()) == frozenset()
    (root / "model" / "new.py").write_text("1")
    (root / "config.yaml").write_text("22")
    (root / "data" / "weights.bin").unlink()
    replacement = root / "model" / "other.py"
    replacement.write_text("1")
    # As editors do: the new file has the size, and even the time, of the old one.
    old = (root / "model" / "model.py").stat()
    os.utime(replacement, ns=(old.st_atime_ns, old.st_mtime_ns))
    replacement.rename(root / "model" / "model.py")
    assert before.changes(tree.scan()) == {"model/new.py", "config.yaml", "data/weights.bin", "model/model.py"}


def test_a_linked_file_counts_by_what_it_leads_to(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text("1")
    (root / "model" / "shared.py").symlink_to(tmp_path / "shared.py")
    (root / "model" / "dangling.py").symlink_to(tmp_path / "nothing")
    tree = WatchedTree(root)
    before = tree.scan()
    (tmp_path / "shared.py").write_text("22")
    assert before.changes(tree.scan()) == {"model/shared.py"}


def test_other_folders_belong_to_it_by_their_absolute_paths(root: Path, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text("1")
    assert f"{tmp_path}/lib/a.py" in WatchedTree(root, others=[tmp_path / "lib"]).scan().files


def test_the_number_of_files_is_bounded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_tree, "FILES_MAX", 2)
    scan = WatchedTree(root).scan()
    assert (len(scan.files), scan.is_complete) == (2, False)


def test_a_folder_that_is_gone_is_empty(tmp_path: Path) -> None:
    assert WatchedTree(tmp_path / "gone").scan().files == {}
