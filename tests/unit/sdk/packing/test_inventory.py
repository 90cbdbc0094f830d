from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from penstock.packing import inventory
from penstock.packing.digest import Kind
from penstock.packing.inventory import take_inventory
from penstock.packing.limits import PackError
from penstock.truss import ConfigError


@pytest.fixture
def truss(tmp_path: Path) -> Path:
    folder = tmp_path / "truss"
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text("model_name: x\n")
    (folder / "model" / "model.py").write_text("class Model: ...\n")
    return folder


def paths(folder: Path) -> list[str]:
    return [entry.path for entry in take_inventory(folder).entries]


def test_files_and_empty_folders_are_listed_in_order(truss: Path) -> None:
    (truss / "data" / "empty").mkdir(parents=True)
    (truss / "run.sh").touch(0o755)
    (truss / "run.sh").chmod(0o755)
    found = take_inventory(truss)
    assert [(entry.path, entry.kind) for entry in found.entries] == [
        ("config.yaml", Kind.FILE),
        ("data/empty", Kind.FOLDER),
        ("model/model.py", Kind.FILE),
        ("run.sh", Kind.EXECUTABLE),
    ]
    assert found.content_bytes == len("model_name: x\n") + len("class Model: ...\n")


def test_the_ignore_file_and_the_usual_suspects_are_left_out(truss: Path) -> None:
    for name in (".git/HEAD", "model/__pycache__/model.pyc", "weights/big.bin", "notes.md"):
        (truss / name).parent.mkdir(parents=True, exist_ok=True)
        (truss / name).touch()
    (truss / ".truss_ignore").write_text("weights/\n*.md\n")
    assert paths(truss) == [".truss_ignore", "config.yaml", "model/model.py"]


def test_the_older_name_of_the_ignore_file_works(truss: Path) -> None:
    (truss / ".trussignore").write_text("model\n")
    assert paths(truss) == [".trussignore", "config.yaml"]


def test_a_link_inside_is_kept_and_one_outside_is_refused(truss: Path) -> None:
    (truss / "same.py").symlink_to("model/model.py")
    (link,) = [entry for entry in take_inventory(truss).entries if entry.kind is Kind.LINK]
    assert link.content == b"model/model.py"
    (truss / "away").symlink_to("../other")
    with pytest.raises(PackError, match="leads out of"):
        take_inventory(truss)
    (truss / ".truss_ignore").write_text("away\n")
    assert "away" not in paths(truss)


def test_a_link_that_leads_out_over_another_is_refused(truss: Path) -> None:
    (truss / "model" / "up").symlink_to("..")
    (truss / "away").symlink_to("model/up/..")
    with pytest.raises(PackError, match="leads out of"):
        take_inventory(truss)


def test_sockets_and_pipes_are_skipped_and_named(truss: Path) -> None:
    os.mkfifo(truss / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(truss / "s"))
        found = take_inventory(truss)
    assert sorted(found.skipped) == ["pipe", "s"]
    assert [entry.path for entry in found.entries] == ["config.yaml", "model/model.py"]


def test_packages_outside_come_along_and_config_names_them(truss: Path) -> None:
    shared = truss.parent / "shared"
    shared.mkdir()
    (shared / "tools.py").touch()
    (shared / "x.pyc").touch()
    (truss / "config.yaml").write_text("external_package_dirs: [../shared]\n")
    found = take_inventory(truss)
    assert [entry.path for entry in found.entries] == [
        ".penstock_external/0-shared/tools.py",
        "config.yaml",
        "model/model.py",
    ]
    assert found.entries[1].content == b'external_package_dirs: [".penstock_external/0-shared"]\n'
    (truss / ".penstock_external").mkdir()
    with pytest.raises(PackError, match="rename it"):
        take_inventory(truss)


def test_a_directory_without_config_cannot_be_packed(truss: Path) -> None:
    (truss / ".truss_ignore").write_text("*.yaml\n")
    with pytest.raises(PackError, match=r"config\.yaml is left out"):
        take_inventory(truss)
    (truss / "config.yaml").unlink()
    with pytest.raises(ConfigError):
        take_inventory(truss)


def test_too_much_is_refused_with_advice(truss: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "ENTRIES_MAX", 1)
    with pytest.raises(PackError, match="more than 1 files"):
        take_inventory(truss)
    monkeypatch.setattr(inventory, "CONTENT_BYTES_MAX", 10)
    with pytest.raises(PackError, match="external_data"):
        take_inventory(truss)


def test_a_name_that_is_no_text_is_refused(truss: Path) -> None:
    Path(os.fsdecode(os.fsencode(truss) + b"/\xff.bin")).touch()
    with pytest.raises(PackError, match="is not UTF-8"):
        take_inventory(truss)
