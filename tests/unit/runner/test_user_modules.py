"""Which modules are taken out of sys.modules for a hot reload, and how they come back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock.truss import TrussConfig, parse_config
from penstock_runner.model.user_modules import UserModules


@pytest.fixture(autouse=True)
def untouched_modules() -> Iterator[None]:
    modules = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


def config(text: str = "") -> TrussConfig:
    return parse_config(text.encode(), name_default="m")


def register(name: str, file: Path | None = None, folders: list[Path] | None = None) -> ModuleType:
    """Puts a module into sys.modules that says it comes from `file` or `folders`."""
    module = ModuleType(name)
    if file is not None:
        module.__file__ = str(file)
    if folders is not None:
        module.__path__ = [str(folder) for folder in folders]
    sys.modules[name] = module
    return module


def take_out(folder: Path, text: str = "") -> UserModules:
    found = UserModules.find(folder, config(text))
    found.take_out()
    return found


def taken(folder: Path, text: str = "") -> set[str]:
    return set(take_out(folder, text).modules)


def test_source_of_the_directory_and_of_external_packages_is_taken(tmp_path: Path) -> None:
    truss = tmp_path / "truss"
    register("in_root", truss / "in_root.py")
    register("in_packages", truss / "packages/in_packages.py")
    register("model", folders=[truss / "model"])
    register("model.model", truss / "model/model.py")
    register("shared", tmp_path / "shared/shared.py")
    register("elsewhere", tmp_path / "elsewhere.py")

    found = taken(truss, "external_package_dirs: [../shared]\n")

    assert found == {"in_root", "in_packages", "model", "model.model", "shared"}
    assert "in_root" not in sys.modules
    assert "elsewhere" in sys.modules


@pytest.mark.parametrize(
    "file",
    [".venv/lib/a.py", "env/site-packages/a.py", "env/dist-packages/a.py", "data/a.py", "a.cpython-311.so", "a.pyc"],
)
def test_what_is_installed_came_with_the_weights_or_is_no_source_stays(file: str, tmp_path: Path) -> None:
    register("a", tmp_path / file)

    assert taken(tmp_path) == set()


def test_data_folder_that_holds_the_model_does_not_hide_it(tmp_path: Path) -> None:
    register("model.model", tmp_path / "model/model.py")

    assert taken(tmp_path, "data_dir: model\n") == {"model.model"}


def test_modules_of_the_platform_and_the_program_stay(tmp_path: Path) -> None:
    register("penstock.imagined", tmp_path / "penstock/imagined.py")
    register("penstock_runner.imagined", tmp_path / "penstock_runner/imagined.py")
    register("__main__", tmp_path / "main.py")

    assert taken(tmp_path) == set()


def test_namespace_package_with_a_folder_elsewhere_stays(tmp_path: Path) -> None:
    register("mine", folders=[tmp_path / "packages/mine"])
    register("shared", folders=[tmp_path / "packages/shared", Path("/elsewhere")])
    register("empty", folders=[])

    assert taken(tmp_path) == {"mine"}


def test_strange_things_are_left_alone(tmp_path: Path) -> None:
    class Strange(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    sys.modules["strange"] = Strange("strange")
    sys.modules["nothing"] = None  # type: ignore[assignment]  # as Python itself does for refused imports
    vars(register("odd"))["__file__"] = 3

    assert taken(tmp_path) == set()


def test_put_back_restores_and_removes_what_came_since(tmp_path: Path) -> None:
    parent = register("shared", folders=[tmp_path / "shared", Path("/elsewhere")])
    old = register("shared.inner", tmp_path / "shared/inner.py")
    vars(parent)["inner"] = old
    modules = take_out(tmp_path)
    vars(parent)["inner"] = register("shared.inner", tmp_path / "shared/inner.py")
    register("new", tmp_path / "new.py")
    third = register("third", Path("/elsewhere/third.py"))

    modules.put_back()

    assert sys.modules["shared.inner"] is old
    assert vars(parent)["inner"] is old
    assert "new" not in sys.modules
    assert sys.modules["third"] is third


def test_cached_code_is_removed(tmp_path: Path) -> None:
    (tmp_path / "cached_one.py").write_text("")
    sys.path.insert(0, str(tmp_path))
    try:
        import cached_one  # type: ignore[import-not-found, unused-ignore]  # written above
    finally:
        sys.path.remove(str(tmp_path))
    cached = Path(cached_one.__spec__.cached)
    cached.parent.mkdir(exist_ok=True)
    cached.touch()

    take_out(tmp_path)

    assert not cached.exists()
