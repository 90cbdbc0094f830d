from __future__ import annotations

import pytest

from penstock.preparation import satisfied
from penstock.preparation.requirement_line import read_line
from penstock.preparation.satisfied import is_satisfied

INSTALLED = {"numpy": "2.1.0", "my-tool": "1.0"}


def check(text: str) -> bool:
    line = read_line(text, lambda path: f"/model/{path}")
    assert line is not None
    return is_satisfied(line, INSTALLED.get)


@pytest.mark.parametrize(
    "text", ["numpy==2.1.0", "numpy == 2.1.0", "My_Tool==1.0", "numpy>=2", "numpy~=2.1", "numpy==2.*"]
)
def test_a_version_that_is_installed_satisfies(text: str) -> None:
    assert check(text)


@pytest.mark.parametrize(
    "text",
    [
        "numpy",
        "numpy==2.1.1",
        "numpy>=3",
        "numpy[extra]==2.1.0",
        "numpy==2.1.0 ; python_version > '3'",
        "gone==1",
        "numpy @ https://host/numpy.whl",
        "./numpy-2.1.0-py3-none-any.whl",
        "git+https://host/numpy",
        "--pre",
        "numpy=2.1.0",
    ],
)
def test_all_else_has_to_be_installed(text: str) -> None:
    assert not check(text)


def test_without_a_reader_of_versions_only_exact_pins_satisfy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise ImportError

    monkeypatch.setattr(satisfied, "import_module", missing)

    assert check("numpy==2.1.0")
    assert not check("numpy>=2")
