from __future__ import annotations

from pathlib import Path

import pytest

from penstock.chains.chain_file import ChainFile, split_chain_path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("chain.py", ("chain.py", None)),
        ("a/b.py:Hello", ("a/b.py", "Hello")),
        ("model", None),
        ("chain.py:", None),
        ("chain.py:not a class", None),
        ("chain.pyc", None),
    ],
)
def test_a_chain_is_named_by_its_file(text: str, found: tuple[str, str | None] | None) -> None:
    assert split_chain_path(text) == found


def test_each_source_has_a_folder_of_its_own() -> None:
    files = [
        ChainFile(Path("/a/my chain.py")),
        ChainFile(Path("/b/my chain.py")),
        ChainFile(Path("/a/my chain.py"), "Other"),
    ]
    names = [file.folder_name for file in files]
    assert len(set(names)) == 3
    assert all(name.startswith("my-chain-") for name in names)
    assert files[0].folder_name == ChainFile(Path("/a/my chain.py"), name="other name").folder_name
