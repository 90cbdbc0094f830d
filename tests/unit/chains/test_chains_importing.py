"""Imports of the chainlet that a runner serves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from penstock.chains.errors import ChainsUsageError
from penstock.chains.serving.importing import import_chainlet

pytestmark = pytest.mark.usefixtures("fresh_registry", "clean_imports")

SOURCE = """
import truss_chains as chains

class Greeter(chains.ChainletBase):
    async def run_remote(self) -> str:
        return "hello"
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the user's code, at the end of the path as in a runner."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def model_file(packages: Path) -> str:
    return str(packages.parent / "model" / "model.py")


def test_code_written_for_truss_chains_is_found(packages: Path) -> None:
    (packages / "greeting_chain_x.py").write_text(SOURCE)

    found = import_chainlet("greeting_chain_x", "Greeter", model_file(packages))

    assert (found.__name__, found.__module__) == ("Greeter", "greeting_chain_x")


def test_a_module_in_a_folder_is_found(packages: Path) -> None:
    (packages / "greetings_x").mkdir()
    (packages / "greetings_x" / "english.py").write_text(SOURCE)

    assert import_chainlet("greetings_x.english", "Greeter", model_file(packages)).__name__ == "Greeter"


def test_a_name_that_another_module_has_is_told(packages: Path) -> None:
    (packages / "json.py").write_text(SOURCE)

    with pytest.raises(ChainsUsageError, match=r"The chain's module `json` is hidden by another .* Rename json.py"):
        import_chainlet("json", "Greeter", model_file(packages))


def test_a_class_that_is_not_there_is_told(packages: Path) -> None:
    (packages / "greeting_chain_y.py").write_text(SOURCE)

    with pytest.raises(ChainsUsageError, match=r"greeting_chain_y\.py has no chainlet class `Other`"):
        import_chainlet("greeting_chain_y", "Other", None)


def test_code_can_be_imported_anew(packages: Path) -> None:
    (packages / "greeting_chain_z.py").write_text(SOURCE)
    first = import_chainlet("greeting_chain_z", "Greeter", None)
    del sys.modules["greeting_chain_z"]

    assert import_chainlet("greeting_chain_z", "Greeter", None) is not first
