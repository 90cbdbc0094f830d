from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.identifiers import (
    NAME_PATTERN,
    SMALL_FILE_BYTES,
    content_hash,
    deployment_id,
    model_name,
    new_replica_id,
)


@given(st.text(max_size=200))
def test_model_name_can_stand_in_a_path_or_is_empty(text: str) -> None:
    name = model_name(text)

    assert name == "" or NAME_PATTERN.fullmatch(name)
    assert model_name(name) == name


def test_model_name_keeps_what_it_can() -> None:
    assert model_name("  Llama 3 (8B)! ") == "llama-3-8b"


def test_replica_ids_tell_their_deployment_and_differ() -> None:
    ids = {new_replica_id(deployment_id("echo", "0123456789")) for _ in range(100)}

    assert len(ids) == 100
    assert all(i.startswith("echo-01234567-") and len(i) == len("echo-01234567-abcde") for i in ids)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.py").write_text("a")
    (tmp_path / "config.yaml").write_text("b")
    return tmp_path


def write(name: str, text: str) -> Callable[[Path], object]:
    def change(tree: Path) -> None:
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text(text)

    return change


@pytest.mark.parametrize(
    "change",
    [
        write("config.yaml", "c"),
        write("new.txt", ""),
        lambda tree: (tree / "config.yaml").rename(tree / "other.yaml"),
        lambda tree: (tree / "link").symlink_to("config.yaml"),
        lambda tree: (tree / "folder-link").symlink_to("model"),
    ],
)
def test_hash_changes_with_names_and_contents(tree: Path, change: Callable[[Path], object]) -> None:
    before = content_hash(tree)
    assert content_hash(tree) == before

    change(tree)

    assert content_hash(tree) != before


@pytest.mark.parametrize("folder", ["__pycache__", ".git", ".venv"])
def test_hash_ignores_what_is_not_the_model(tree: Path, folder: str) -> None:
    before = content_hash(tree)

    write(f"{folder}/x", "y")(tree)

    assert content_hash(tree) == before


def test_big_file_counts_by_size_and_time(tree: Path) -> None:
    big = tree / "weights.bin"
    big.write_bytes(bytes(SMALL_FILE_BYTES + 1))
    before = content_hash(tree)

    os.utime(big, ns=(1, 1))

    assert content_hash(tree) != before


def test_pipe_in_the_tree_does_not_block(tree: Path) -> None:
    os.mkfifo(tree / "pipe")

    assert content_hash(tree)
