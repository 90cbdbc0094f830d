from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from penstock.weights import local_files
from penstock.weights.errors import WeightsError
from penstock.weights.local_files import check_local, local_size, wanted_files
from penstock.weights.patterns import Patterns
from penstock.weights.sources import LocalSource

KEY = "weights[0].source"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.bin").write_bytes(b"123")
    (tmp_path / "sub/b.txt").write_bytes(b"4567")
    return tmp_path


def test_a_file_and_a_folder_are_taken_as_they_are(folder: Path) -> None:
    digest = hashlib.sha256(b"123").hexdigest()

    assert check_local(LocalSource(folder), sha256=None, key=KEY) == folder
    assert check_local(LocalSource(folder / "a.bin"), sha256=digest, key=KEY) == folder / "a.bin"
    assert local_size(folder) == (2, 7)
    assert local_size(folder / "a.bin") == (1, 3)


@pytest.mark.parametrize(
    ("name", "sha256", "reason"),
    [
        ("none", None, "none is not there"),
        ("a.bin", "0" * 64, "SHA-256 of .* is a665.*, expected 000"),
        ("sub", "0" * 64, "is a folder; sha256 is for one file"),
    ],
)
def test_a_source_that_is_not_what_it_should_be_is_refused(
    folder: Path, name: str, sha256: str | None, reason: str
) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        check_local(LocalSource(folder / name), sha256=sha256, key=KEY)

    assert caught.value.key == KEY


def test_patterns_choose_among_the_files_of_a_folder(folder: Path) -> None:
    assert wanted_files(folder, Patterns(("*.txt",)), key=KEY) == {"sub/b.txt": folder / "sub/b.txt"}
    with pytest.raises(WeightsError, match=r"no file that is wanted \(2 in all"):
        wanted_files(folder, Patterns(("*.gguf",)), key=KEY)


def test_a_folder_of_too_many_files_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "FILES_MAX", 1)

    with pytest.raises(WeightsError, match="holds more than 1 files"):
        wanted_files(folder, Patterns(), key=KEY)
