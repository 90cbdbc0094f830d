from __future__ import annotations

import pytest

from penstock.packing.limits import NAMES_MAX, path_problem


@pytest.mark.parametrize("path", ["config.yaml", "model/model.py", "a b/ä", ".hidden", "a..b/...", "x\\y"])
def test_an_ordinary_path_has_no_problem(path: str) -> None:
    assert path_problem(path) == ""


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b", "x" * 256, "\udcff", "a/" * NAMES_MAX + "b"],
)
def test_a_path_that_could_do_harm_has_one(path: str) -> None:
    assert path_problem(path)
