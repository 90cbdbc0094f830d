from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.weights.errors import WeightsError
from penstock.weights.hub_layout import put_snapshot, snapshot_folder
from penstock.weights.sources import HubSource

COMMIT = "c0ffee" + "0" * 34


def put(tmp_path: Path, *names: str, revision: str = "main") -> dict[str, str]:
    files = tmp_path / "cache"
    for name in names:
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(name)
    source = HubSource("owner/name", revision)
    ours = [files]
    return put_snapshot(
        tmp_path / "hub",
        source,
        COMMIT,
        files,
        names,
        key="model_cache[0]",
        is_ours=lambda path: any(folder in path.resolve().parents for folder in ours),
    )


def test_files_are_where_huggingface_hub_looks(tmp_path: Path) -> None:
    links = put(tmp_path, "config.json", "sub/model.bin")

    folder = tmp_path / "hub/models--owner--name/snapshots" / COMMIT
    assert folder == snapshot_folder(tmp_path / "hub", "owner/name", COMMIT)
    assert (folder / "config.json").read_text() == "config.json"
    assert (folder / "sub/model.bin").read_text() == "sub/model.bin"
    assert (tmp_path / "hub/models--owner--name/refs/main").read_text() == COMMIT
    assert sorted(links) == [str(folder / "config.json"), str(folder / "sub/model.bin")]


def test_a_commit_needs_no_reference_and_a_branch_with_a_slash_has_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "x", revision=COMMIT)
    assert not (tmp_path / "hub/models--owner--name/refs").exists()

    put(tmp_path, "x", revision="refs/pr/1")
    assert (tmp_path / "hub/models--owner--name/refs/refs/pr/1").read_text() == COMMIT


def test_files_that_are_there_stay_and_links_that_lead_nowhere_are_replaced(tmp_path: Path) -> None:
    folder = snapshot_folder(tmp_path / "hub", "owner/name", COMMIT)
    folder.mkdir(parents=True)
    (folder / "theirs").write_text("of huggingface_hub")
    (folder / "dangling").symlink_to("/gone/for/good")

    links = put(tmp_path, "theirs", "dangling")

    assert (folder / "theirs").read_text() == "of huggingface_hub"
    assert os.readlink(folder / "dangling") == str(tmp_path / "cache/dangling")
    assert list(links) == [str(folder / "dangling")]


def test_a_layout_that_cannot_be_written_is_an_error_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file")

    with pytest.raises(WeightsError) as caught:
        put(tmp_path, "x")

    assert caught.value.key == "model_cache[0]"
