"""`import truss_chains` means this package, unless the real one is there."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path

import pytest

import penstock.chains
from penstock.chains import alias

pytestmark = pytest.mark.usefixtures("clean_imports")


@pytest.fixture(autouse=True)
def _installed(clean_imports: None) -> None:
    alias.install()


def test_the_alias_is_the_very_module() -> None:
    module = importlib.import_module("truss_chains")

    assert module is penstock.chains
    assert (module.__name__, module.__spec__ and module.__spec__.name) == ("penstock.chains", "penstock.chains")
    assert module.ChainletBase is penstock.chains.ChainletBase


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("streaming", "streaming"),
        ("pydantic_numpy", "pydantic_numpy"),
        ("public_types", "public_types"),
        ("definitions", "definitions"),
        ("framework", "framework"),
        ("utils", "utils"),
        ("private_types", "abc_chainlet"),
        ("deployment.deployment_client", "deployment.deployment_client"),
        ("remote_chainlet.truss_chainlet", "remote_chainlet.truss_chainlet"),
        ("remote_chainlet.stub", "remote_chainlet.stub"),
    ],
)
def test_parts_of_the_alias_are_the_very_modules(name: str, home: str) -> None:
    module = importlib.import_module(f"truss_chains.{name}")

    assert module is importlib.import_module(f"penstock.chains.{home}")
    assert module.__spec__ is not None and module.__spec__.name == f"penstock.chains.{home}"


def test_names_that_users_import_are_there() -> None:
    names: dict[str, object] = {}
    exec(
        "from truss_chains import private_types, public_api, public_types, streaming, utils\n"
        "from truss_chains.pydantic_numpy import NumpyArrayField\n"
        "from truss_chains.public_types import ChainsUsageError, MissingDependencyError, ChainsRuntimeError\n"
        "from truss_chains.public_types import ChainsDeploymentError\n"
        "from truss_chains.definitions import Environment\n"
        "from truss_chains.deployment.deployment_client import ChainService\n"
        "from truss_chains.remote_chainlet.truss_chainlet import (\n"
        "    TrussHandle, get_service_urls, get_baseten_chain_api_key, CallArgs)\n"
        "from truss_chains.public_api import depends\n"
        "from truss_chains.utils import make_abs_path_here\n"
        "from truss.base import truss_config\n"
        "from truss.truss_config import ModelRepo\n"
        "repo = truss_config.ModelRepo(repo_id='a/b', allow_patterns=['*.json'])\n",
        names,
    )

    assert names["Environment"] is penstock.chains.Environment
    assert names["depends"] is penstock.chains.depends
    for name in ("private_types", "public_api", "utils"):
        assert names[name] is importlib.import_module(f"truss_chains.{name}")
    assert issubclass(names["ChainsUsageError"], TypeError)  # type: ignore[arg-type]  # what the text has imported
    assert type(names["repo"]) is names["ModelRepo"]


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"truss_chains\.no_such_part"):
        importlib.import_module("truss_chains.no_such_part")
    with pytest.raises(ModuleNotFoundError, match=r"truss\.contexts"):
        importlib.import_module("truss.contexts")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from truss_chains import no_such_name")


def test_objects_made_under_the_alias_are_pickled_under_their_own_name() -> None:
    chains = importlib.import_module("truss_chains")
    options = chains.RPCOptions(retries=3)

    assert pickle.loads(pickle.dumps(options)) == options
    assert b"truss_chains" not in pickle.dumps(chains.RPCOptions)


def test_a_package_that_is_installed_wins(tmp_path: Path) -> None:
    for name in ("truss_chains", "truss"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("REAL = True\n")
    (tmp_path / "truss_chains" / "streaming.py").write_text("REAL = True\n")
    sys.path.insert(0, str(tmp_path))

    for name in ("truss_chains", "truss", "truss_chains.streaming"):
        assert importlib.import_module(name).REAL
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("truss_chains.framework")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("truss.base")


def test_a_folder_that_is_only_called_so_is_no_package(tmp_path: Path) -> None:
    for name in ("truss_chains", "truss"):
        (tmp_path / name).mkdir()
    sys.path.insert(0, str(tmp_path))

    assert importlib.import_module("truss_chains") is penstock.chains
    assert importlib.import_module("truss.base.truss_config").Accelerator


def test_a_folder_that_was_imported_before_does_not_hide_what_is_ours(tmp_path: Path) -> None:
    alias.uninstall()
    (tmp_path / "truss").mkdir()
    sys.path.insert(0, str(tmp_path))
    importlib.import_module("truss")

    alias.install()

    assert importlib.import_module("truss.base.truss_config").Accelerator


def test_installing_it_again_changes_nothing() -> None:
    finders = list(sys.meta_path)

    alias.install()

    assert sys.meta_path == finders


def test_uninstalling_it_takes_everything_back() -> None:
    importlib.import_module("truss_chains.streaming")
    importlib.import_module("truss.base.truss_config")

    alias.uninstall()

    assert [name for name in sys.modules if name.partition(".")[0] in ("truss", "truss_chains")] == []
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("truss_chains")
    assert "penstock.chains.streaming" in sys.modules
