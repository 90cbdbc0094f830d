from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.weights.errors import WeightsError
from penstock.weights.placing import is_present, put_link

KEY = "weights[0].mount_location"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    file = tmp_path / "cache/file"
    file.parent.mkdir()
    file.write_bytes(b"content")
    return file


def put(link: Path, target: Path, *, ours: bool = False) -> None:
    put_link(link, target, key=KEY, is_ours=lambda _: ours)


def test_a_link_is_made_with_the_folders_above_it(tmp_path: Path, target: Path) -> None:
    put(tmp_path / "a/b/link", target)

    assert (tmp_path / "a/b/link").read_bytes() == b"content"
    assert os.listdir(tmp_path / "a/b") == ["link"]


def test_a_link_that_leads_there_already_stays(tmp_path: Path, target: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    before = link.lstat().st_ino

    put(link, target)

    assert link.lstat().st_ino == before


def test_a_link_of_ours_is_replaced(tmp_path: Path, target: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/old")

    put(link, target, ours=True)

    assert os.readlink(link) == str(target)


def test_a_link_of_somebody_else_is_left_alone(tmp_path: Path, target: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/old")

    with pytest.raises(WeightsError, match="is a link to /old that is not Penstock's; remove it") as caught:
        put(link, target)

    assert caught.value.key == KEY
    assert os.readlink(link) == "/old"


def test_an_empty_folder_gives_way_and_any_other_does_not(tmp_path: Path, target: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")

    put(tmp_path / "empty", target)
    with pytest.raises(WeightsError, match="is a folder with other files"):
        put(tmp_path / "full", target)

    assert (tmp_path / "empty").is_symlink()
    assert (tmp_path / "full/mine").read_text() == "mine"


def test_a_file_of_the_same_content_stays_and_any_other_is_not_touched(tmp_path: Path, target: Path) -> None:
    (tmp_path / "same").write_bytes(b"content")
    (tmp_path / "other").write_bytes(b"CONTENT")

    put(tmp_path / "same", target)
    with pytest.raises(WeightsError, match="is there with other content"):
        put(tmp_path / "other", target)

    assert not (tmp_path / "same").is_symlink()
    assert (tmp_path / "other").read_bytes() == b"CONTENT"


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path, target: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(WeightsError, match=r"the folder .*/file/sub cannot be made: .*sudo install -d"):
        put(tmp_path / "file/sub/link", target)


def test_a_folder_that_is_read_only_is_named_with_what_to_do(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    with pytest.raises(WeightsError, match="cannot be written by this user; for example: sudo chown"):
        put(tmp_path / "link", target)


def test_files_are_present_when_each_is_there_with_its_length(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").write_bytes(b"123")

    assert is_present(tmp_path, [("sub/a", 3)], is_file=False)
    assert is_present(tmp_path / "sub/a", [("other name", 3)], is_file=True)
    assert not is_present(tmp_path, [("sub/a", 4)], is_file=False)
    assert not is_present(tmp_path, [("sub/a", None)], is_file=False)
    assert not is_present(tmp_path, [("sub/a", 3), ("b", 1)], is_file=False)
