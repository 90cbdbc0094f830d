from __future__ import annotations

import tomllib

import pytest

from penstock.preparation.errors import PreparationError
from penstock.preparation.locked import asked_by_lock, asked_by_project

LOCK = """
version = 1

[[package]]
name = "model"
version = "0.1.0"
source = { virtual = "." }
dependencies = [
    { name = "requests", extra = ["socks"] },
    { name = "numpy", version = "1.26.4", marker = "python_version < '3.12'" },
    { name = "numpy", version = "2.1.0", marker = "python_version >= '3.12'" },
    { name = "tool" },
    { name = "lib" },
    { name = "wheel-of-ours" },
]

[[package]]
name = "requests"
version = "2.32.0"
source = { registry = "https://host/simple" }
dependencies = [{ name = "idna" }]

[[package]]
name = "idna"
version = "3.7"
source = { registry = "https://host/simple" }

[[package]]
name = "numpy"
version = "1.26.4"
source = { registry = "https://host/simple" }
resolution-markers = ["python_version < '3.12'"]

[[package]]
name = "numpy"
version = "2.1.0"
source = { registry = "https://host/simple" }
resolution-markers = ["python_version >= '3.13'", "python_version == '3.12'"]

[[package]]
name = "tool"
version = "1.0"
source = { git = "https://host/tool.git?subdirectory=py&rev=main#0123abcd" }

[[package]]
name = "lib"
version = "0.1"
source = { editable = "libs/lib" }

[[package]]
name = "wheel-of-ours"
version = "1.0"
source = { path = "wheels/ours-1.0-py3-none-any.whl" }
"""


def test_a_lock_asks_for_what_the_project_needs_and_pins_all_that_this_brings() -> None:
    asked = asked_by_lock(tomllib.loads(LOCK), "uv.lock")

    tool = "tool @ git+https://host/tool.git@0123abcd#subdirectory=py"
    assert asked.lines == (
        "requests[socks]==2.32.0",
        "numpy==1.26.4 ; python_version < '3.12'",
        "numpy==2.1.0 ; python_version >= '3.12'",
        tool,
        "./libs/lib",
        "./wheels/ours-1.0-py3-none-any.whl",
    )
    assert asked.constraints == (
        "requests==2.32.0",
        "idna==3.7",
        "numpy==1.26.4 ; (python_version < '3.12')",
        "numpy==2.1.0 ; (python_version >= '3.13') or (python_version == '3.12')",
        tool,
    )


@pytest.mark.parametrize("text", ["", "version = 1", "package = 3", "[[package]]\nname = 'x'\nversion = '1'"])
def test_a_file_that_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(PreparationError, match=r"^uv\.lock: "):
        asked_by_lock(tomllib.loads(text), "uv.lock")


def test_a_project_asks_for_its_dependencies() -> None:
    document = tomllib.loads("[project]\nname = 'x'\ndependencies = ['numpy>=1', 'six']")

    assert asked_by_project(document, "pyproject.toml").lines == ("numpy>=1", "six")
    assert asked_by_project({"project": {"name": "x"}}, "pyproject.toml").lines == ()


def test_sources_of_uv_are_not_left_out_in_silence() -> None:
    text = "[project]\ndependencies = ['ours']\n[tool.uv.sources]\nours = { git = 'https://host/x' }"

    (problem,) = asked_by_project(tomllib.loads(text), "pyproject.toml").problems

    assert "ours" in problem and "uv.lock" in problem


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[build-system]\nrequires = []", "no table"),
        ("[tool.poetry.dependencies]\nsix = '1'", "Poetry"),
        ("[project]\ndynamic = ['dependencies']", "dynamic"),
        ("[project]\ndependencies = 'six'", "list of texts"),
    ],
)
def test_a_project_whose_dependencies_cannot_be_read_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PreparationError, match=reason):
        asked_by_project(tomllib.loads(text), "pyproject.toml")
