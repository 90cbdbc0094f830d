from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from penstock.weights.references import References


@pytest.fixture
def references(tmp_path: Path) -> References:
    (tmp_path / "references").mkdir()
    return References(tmp_path / "references")


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    return folders


def test_what_any_deployment_uses_is_needed(references: References, models: list[Path]) -> None:
    references.write(models[0], ["a", "b"], {})
    references.write(models[1], ["b", "c"], {})

    assert references.needed() == {"a", "b", "c"}
    assert references.read(models[0]).keys == {"a", "b"}


def test_a_deployment_whose_folder_is_gone_needs_nothing_and_its_links_go(
    references: References, models: list[Path], tmp_path: Path
) -> None:
    link = tmp_path / "mounted"
    link.symlink_to("/target")
    references.write(models[0], ["a"], {str(link): "/target"})
    references.write(models[1], ["c"], {})

    shutil.rmtree(models[0])

    assert references.needed() == {"c"}
    assert not link.is_symlink()


def test_removal_takes_the_links_that_still_lead_there(
    references: References, models: list[Path], tmp_path: Path
) -> None:
    mine, changed, shared = (tmp_path / name for name in ("mine", "changed", "shared"))
    for link in (mine, shared):
        link.symlink_to("/target")
    changed.symlink_to("/by/someone/else")
    links = {str(link): "/target" for link in (mine, changed, shared, tmp_path / "gone")}
    references.write(models[0], ["a"], links)
    references.write(models[1], ["a"], {str(shared): "/target"})

    references.remove(models[0])

    assert references.needed() == {"a"}
    assert [link.is_symlink() for link in (mine, changed, shared)] == [False, True, True]


def test_a_new_state_takes_away_the_links_of_the_old_one(
    references: References, models: list[Path], tmp_path: Path
) -> None:
    old, kept = tmp_path / "old", tmp_path / "kept"
    for link in (old, kept):
        link.symlink_to("/target")
    references.write(models[0], ["a"], {str(old): "/target", str(kept): "/target"})

    references.replace(models[0], ["b"], {str(kept): "/target"})

    assert references.needed() == {"b"}
    assert [link.is_symlink() for link in (old, kept)] == [False, True]


@pytest.mark.parametrize("text", ["", "[]", '{"model_dir": 1}', '{"model_dir": "/x", "keys": [], "links": 1}'])
def test_a_file_that_is_no_reference_is_forgotten(
    references: References, models: list[Path], tmp_path: Path, text: str
) -> None:
    (tmp_path / "references/broken.json").write_text(text)

    assert references.needed() == set()
    assert references.read(models[0]).keys == frozenset()
