from __future__ import annotations

from pathlib import Path

import pytest

from penstock.chains.errors import ChainsUsageError
from penstock.chains.generated_requirements import WantedPackages, wanted_packages


def text(found: WantedPackages, name: str = "pip_requirements.txt") -> str:
    assert found.files is not None
    return found.files[name].content.decode()


def test_requirements_alone_stand_in_config_yaml() -> None:
    assert wanted_packages(["numpy>=2", " # a comment", "httpx"], []) == WantedPackages(("numpy>=2", "httpx"))


def test_a_file_is_joined_with_the_requirements(tmp_path: Path) -> None:
    (tmp_path / "reqs.txt").write_text("httpx\n\n# why\nrich\n")
    found = wanted_packages(["numpy>=2"], [tmp_path / "reqs.txt"])
    assert (found.lines, found.file, text(found)) == ((), "pip_requirements.txt", "numpy>=2\nhttpx\nrich\n")


def test_files_that_a_file_names_come_along(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "reqs.txt").write_text("-r more/base.txt\n-c pins.txt\nrich\n")
    (tmp_path / "more" / "base.txt").write_text("httpx\n")
    (tmp_path / "pins.txt").write_text("httpx==0.28\n")
    found = wanted_packages([], [tmp_path / "reqs.txt"])
    assert text(found) == "httpx\n-c constraints_0.txt\nrich\n"
    assert text(found, "constraints_0.txt") == "httpx==0.28\n"


def test_files_that_name_one_another_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r a.txt")
    with pytest.raises(ChainsUsageError, match="more than 10 files of requirements name one another"):
        wanted_packages([], [tmp_path / "a.txt"])


def test_a_lock_comes_with_its_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "uv.lock").write_text("version = 1")
    found = wanted_packages([], [tmp_path / "uv.lock"])
    assert found.file == "uv.lock"
    assert sorted(found.files or ()) == ["pyproject.toml", "uv.lock"]


def test_a_project_beside_other_requirements_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    with pytest.raises(ChainsUsageError, match=r"pyproject\.toml cannot be combined"):
        wanted_packages(["numpy"], [tmp_path / "pyproject.toml"])


@pytest.mark.parametrize(
    "line",
    ["truss", "truss==0.9.64", "truss[all]>=0.9", "Truss-Chains", "git+https://github.com/basetenlabs/truss.git@main"],
)
def test_truss_itself_is_left_out_with_a_warning(line: str) -> None:
    found = wanted_packages([line, "numpy"], [])
    assert found.lines == ("numpy",)
    assert found.warnings == (f"the requirement {line!r} is left out: chains run on Penstock's own implementation",)


@pytest.mark.parametrize("line", ["trussed", "truss-tools==1", "git+https://github.com/basetenlabs/trussless"])
def test_other_packages_of_similar_names_stay(line: str) -> None:
    assert wanted_packages([line], []).lines == (line,)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChainsUsageError, match=r"requirements .*gone\.txt cannot be read: No such file"):
        wanted_packages([], [tmp_path / "gone.txt"])
