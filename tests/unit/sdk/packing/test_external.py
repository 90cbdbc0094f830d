from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from penstock.packing.external import outside, packed_names, rewritten
from penstock.packing.limits import PackError


def test_only_folders_outside_are_moved(tmp_path: Path) -> None:
    for folder in ("truss/inside", "shared", "other/shared"):
        (tmp_path / folder).mkdir(parents=True)
    found = outside(tmp_path / "truss", ("inside", "../shared", "../other/shared"))
    assert found == {"../shared": tmp_path / "shared", "../other/shared": tmp_path / "other/shared"}
    assert packed_names(found) == {
        "../shared": ".penstock_external/0-shared",
        "../other/shared": ".penstock_external/1-shared",
    }


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"external_package_dirs: there is no folder \.\./gone"):
        outside(tmp_path, ("../gone",))


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\nmodel_name: x\nexternal_package_dirs:\n  - inside # stays\n  - ../shared # moves\nmine: {a: 1}\n",
        "external_package_dirs: ['inside', \"../shared\"]\nmodel_name: x\nmine: {a: 1}\n",
        "external_package_dirs:\n- inside\n- ../shared\nmodel_name: x\nmine: {a: 1}\n",
    ],
)
def test_only_the_entries_change_in_the_text(text: str) -> None:
    changed = rewritten(text, {"../shared": ".penstock_external/0-shared"})
    read = yaml.safe_load(changed)
    assert read.pop("external_package_dirs") == ["inside", ".penstock_external/0-shared"]
    assert read == {"model_name": "x", "mine": {"a": 1}}
    assert changed.count("#") == text.count("#")


def test_a_value_elsewhere_stays() -> None:
    changed = rewritten("data_dir: ../shared\nexternal_package_dirs: [../shared]\n", {"../shared": "here"})
    assert yaml.safe_load(changed) == {"data_dir": "../shared", "external_package_dirs": ["here"]}


def test_an_alias_is_refused() -> None:
    text = "where: &shared ../shared\nexternal_package_dirs: [*shared]\n"
    with pytest.raises(PackError, match=r"config.yaml:1: .*without an alias"):
        rewritten(text, {"../shared": "here"})
