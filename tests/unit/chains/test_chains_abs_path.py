"""Paths relative to the file that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.chains import make_abs_path_here
from penstock.chains.errors import MissingDependencyError
from penstock_testing.chain_kit import Define


def test_a_path_is_relative_to_the_module_that_names_it(define: Define, tmp_path: Path) -> None:
    module = define("here = chains.make_abs_path_here('sub/../requirements.txt')\nup = chains.make_abs_path_here('..')")
    (tmp_path / "requirements.txt").touch()

    assert module.here.abs_path == str(tmp_path / "requirements.txt")
    assert module.up.abs_path == str(tmp_path.parent)
    assert repr(module.here) == f"AbsPath('sub/../requirements.txt', in '{tmp_path}/my_chain.py')"


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    assert make_abs_path_here(str(tmp_path)).abs_path == str(tmp_path)


def test_a_path_must_exist_when_it_is_asked_for(define: Define, tmp_path: Path) -> None:
    path = define("path = chains.make_abs_path_here('nope')").path

    with pytest.raises(MissingDependencyError) as caught:
        _ = path.abs_path

    assert str(caught.value) == (
        f"With the file path `nope` an absolute path relative to the calling module `{tmp_path}/my_chain.py` was "
        f"created, resulting `{tmp_path}/nope` - but no file was found."
    )
    (tmp_path / "nope").touch()
    assert path.abs_path == str(tmp_path / "nope")
