from __future__ import annotations

from pathlib import Path

import pytest

from penstock.cli.up.report import ShellCommands
from penstock.cli.up.shell_commands import find_commands


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of programs as in a virtual environment: the interpreter is a link to another one."""
    for name in ("system/python", "project/.venv/bin/controller"):
        program(tmp_path / name)
    for name in ("python", "python3"):
        (tmp_path / "project/.venv/bin" / name).symlink_to(tmp_path / "system/python")
    return tmp_path / "project/.venv/bin"


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)


def test_activated_environment_needs_no_paths(installed: Path, tmp_path: Path) -> None:
    found = find_commands(installed / "python3", tmp_path, f"{installed}:{tmp_path}/system")
    assert found == ShellCommands(python="python", controller="controller", has_websocat=False)


def test_other_interpreter_of_the_same_name_is_not_ours(installed: Path, tmp_path: Path) -> None:
    """Although the one in the environment is a link to it."""
    found = find_commands(installed / "python3", tmp_path / "project", f"{tmp_path}/system")
    assert (found.python, found.controller) == (".venv/bin/python", ".venv/bin/controller")


def test_programs_elsewhere_are_named_by_their_whole_path(installed: Path, tmp_path: Path) -> None:
    other = tmp_path / "else where"
    other.mkdir()
    found = find_commands(installed / "python", other, "")
    assert (found.python, found.controller) == (f"{installed}/python", f"{installed}/controller")


def test_programs_in_the_folder_itself_and_in_folders_with_spaces_can_be_pasted(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "my env"):
        program(folder / "python")
        program(folder / "controller")
    assert find_commands(tmp_path / "python", tmp_path, "").python == "./python"
    assert find_commands(tmp_path / "my env" / "python", tmp_path, "").controller == "'my env/controller'"


def test_without_the_script_the_module_is_called(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "python")
    found = find_commands(tmp_path / "bin" / "python", tmp_path, "")
    assert found.controller == "bin/python -P -m penstock_controller"


def test_websocat_is_looked_for(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "websocat")
    assert find_commands(tmp_path / "python", tmp_path, f"{tmp_path}/bin").has_websocat
