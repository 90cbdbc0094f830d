"""Importing a model's file: what it can import, and what its author reads when it fails."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from penstock.chains import alias
from penstock.truss import TrussConfig, load_config
from penstock_runner.model.errors import ModelLoadError
from penstock_runner.model.importing import describe_exception, extend_path, import_model_class


@pytest.fixture(autouse=True)
def untouched_imports() -> Iterator[None]:
    path = list(sys.path)
    modules = set(sys.modules)
    yield
    sys.path[:] = path
    alias.uninstall()
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def truss(folder: Path, files: Mapping[str, str], config: str = "") -> tuple[Path, TrussConfig]:
    for name, text in {"config.yaml": config, **files}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    loaded = load_config(folder)
    extend_path(folder, loaded)
    return folder, loaded


def load(folder: Path, files: Mapping[str, str], config: str = "") -> type:
    return import_model_class(*truss(folder, files, config))[0]


def failure(folder: Path, files: Mapping[str, str], config: str = "") -> ModelLoadError:
    with pytest.raises(ModelLoadError) as caught:
        load(folder, files, config)
    return caught.value


def test_class_and_file_are_returned(tmp_path: Path) -> None:
    model_class, model_file = import_model_class(*truss(tmp_path, {"model/model.py": "class Model: pass\n"}))

    assert model_class.__name__ == "Model"
    assert model_file == tmp_path / "model" / "model.py"


def test_module_is_registered_as_model_model(tmp_path: Path) -> None:
    """truss.md section 10, 5."""
    model_class = load(tmp_path, {"model/model.py": "class Model: pass\n"})

    assert model_class.__module__ == "model.model"
    assert sys.modules["model.model"].Model is model_class


@pytest.mark.parametrize("init", [{}, {"model/__init__.py": "started = True\n"}])
def test_neighbours_are_imported_absolutely_and_relatively(tmp_path: Path, init: Mapping[str, str]) -> None:
    source = (
        "from model.other import x\nfrom .other import x as y\nfrom model import other\n"
        "class Model: z = x, y, other.x\n"
    )

    model_class = load(tmp_path, {"model/model.py": source, "model/other.py": "x = 3\n", **init})

    assert model_class.z == (3, 3, 3)  # type: ignore[attr-defined]


def test_modules_beside_config_yaml_are_found(tmp_path: Path) -> None:
    model_class = load(
        tmp_path, {"model/model.py": "import beside\nclass Model: x = beside.x\n", "beside.py": "x = 4\n"}
    )

    assert model_class.x == 4  # type: ignore[attr-defined]


def test_bundled_and_external_packages_are_found_by_their_own_name(tmp_path: Path) -> None:
    external = tmp_path / "external"
    external.mkdir()
    (external / "from_external.py").write_text("x = 5\n")
    source = "import from_bundled, from_external\nclass Model: x = from_bundled.x, from_external.x\n"

    model_class = load(
        tmp_path / "truss",
        {"model/model.py": source, "packages/from_bundled.py": "x = 6\n"},
        "external_package_dirs: [../external]\n",
    )

    assert model_class.x == (6, 5)  # type: ignore[attr-defined]


def test_installed_packages_win_over_bundled_ones(tmp_path: Path) -> None:
    """They are appended to sys.path (truss.md section 2.1)."""
    model_class = load(
        tmp_path, {"model/model.py": "import yaml\nclass Model: x = yaml.__file__\n", "packages/yaml.py": ""}
    )

    assert not model_class.x.startswith(str(tmp_path))  # type: ignore[attr-defined]


def test_missing_external_folder_is_named(tmp_path: Path) -> None:
    error = failure(tmp_path, {"model/model.py": "class Model: pass\n"}, "external_package_dirs: [../gone]\n")

    assert "external_package_dirs: there is no folder ../gone" in error.message


def test_other_folders_files_and_classes_can_be_named(tmp_path: Path) -> None:
    model_class = load(
        tmp_path,
        {"src/inner/my-model.py": "from .near import x\nclass Thing: y = x\n", "src/inner/near.py": "x = 7\n"},
        "model_module_dir: src/inner\nmodel_class_filename: my-model.py\nmodel_class_name: Thing\n",
    )

    assert model_class.y == 7  # type: ignore[attr-defined]


def test_module_folder_may_be_the_truss_directory(tmp_path: Path) -> None:
    model_class = load(
        tmp_path, {"types.py": "class Model: pass\n"}, "model_module_dir: .\nmodel_class_filename: types.py\n"
    )

    assert model_class.__name__ == "Model"
    assert not str(types.__file__).startswith(str(tmp_path))
    assert sys.modules["types"] is types


def test_installed_package_named_model_does_not_win(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "model").mkdir(parents=True)
    (site / "model" / "__init__.py").write_text("")
    sys.path.insert(0, str(site))

    model_class = load(
        tmp_path / "truss",
        {"model/model.py": "from model.other import x\nclass Model: y = x\n", "model/other.py": "x = 8\n"},
    )

    assert model_class.y == 8  # type: ignore[attr-defined]


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "model/model.py: not found in" in failure(tmp_path, {}).message


def test_missing_class_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    error = failure(tmp_path, {"model/model.py": "from pathlib import Path\nclass Modle: pass\n"})

    assert "there is no class `Model` in it; it defines `Modle`." in error.message
    assert "model_class_name" in error.message


def test_class_that_is_no_class_is_refused(tmp_path: Path) -> None:
    error = failure(tmp_path, {"model/model.py": "Model = 3\n"})

    assert "`Model` must be a class, got an object of type int." in error.message


def test_error_while_importing_shows_the_authors_frames_only(tmp_path: Path) -> None:
    error = failure(tmp_path, {"model/model.py": "def fail():\n    1 / 0\nfail()\n"})

    assert error.message == "model/model.py: importing the model raised ZeroDivisionError: division by zero"
    assert error.user_traceback.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/model/model.py", line 3, in <module>',
    ]
    assert "penstock_runner" not in error.user_traceback
    assert "importlib" not in error.user_traceback


def test_syntax_error_shows_its_line(tmp_path: Path) -> None:
    error = failure(tmp_path, {"model/model.py": "class Model:\n    x = = 1\n"})

    assert "SyntaxError: invalid syntax" in error.message
    assert f'File "{tmp_path}/model/model.py", line 2' in error.user_traceback
    assert "penstock_runner" not in error.user_traceback


def test_relative_import_beyond_the_folder_gets_a_hint(tmp_path: Path) -> None:
    error = failure(tmp_path, {"model/model.py": "from ..packages import helper\n", "packages/helper.py": ""})

    assert "ImportError: attempted relative import beyond top-level package" in error.message
    assert "`from model.other import x`" in error.message


def test_missing_module_gets_a_hint(tmp_path: Path) -> None:
    error = failure(tmp_path, {"model/model.py": "import not_there.inner\n"})

    assert "ModuleNotFoundError: No module named 'not_there'" in error.message
    assert "Install `not_there` (`requirements` in config.yaml)" in error.message


def test_a_model_may_import_what_chains_give_it(tmp_path: Path) -> None:
    text = "from truss_chains.remote_chainlet.truss_chainlet import TrussHandle\nclass Model: handle = TrussHandle\n"

    handle = load(tmp_path, {"model/model.py": text}).handle  # type: ignore[attr-defined]  # the text has it

    assert handle.__module__ == "penstock.chains.truss_chainlet"


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "raise KeyboardInterrupt", "import sys; sys.exit()"])
def test_model_that_ends_the_program_is_an_error(tmp_path: Path, statement: str) -> None:
    assert "importing the model raised" in failure(tmp_path, {"model/model.py": f"{statement}\n"}).message


def test_failed_module_is_not_left_registered(tmp_path: Path) -> None:
    failure(tmp_path, {"model/model.py": "1 / 0\n"})

    assert "model.model" not in sys.modules


def test_exception_is_described_on_one_line() -> None:
    assert describe_exception(ValueError("a\nb")) == "ValueError: a"
    assert describe_exception(ValueError()) == "ValueError"
