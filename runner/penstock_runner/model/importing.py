"""Imports a model class from its file, so that the imports that it makes find what they find in a Truss server.

The Truss directory stands first on sys.path: `from model.other import x`, and modules beside config.yaml. What stands
in `packages/` and in the external package folders is found by its own name, after everything installed (truss.md
section 2.1). The model's module is `model.model`, a submodule of a package that is the module folder, so relative
imports reach its neighbours; both forms that Truss versions offer work (section 10, 5).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from penstock.chains import alias
from penstock.truss import TrussConfig
from penstock_runner.model.errors import ModelLoadError
from penstock_runner.model.loaded import format_user_traceback


def extend_path(directory: Path, config: TrussConfig) -> None:
    """Puts the model's folders on sys.path, and lets `truss_chains` be imported: a plain Truss in a chain may want it.

    Raises:
        ModelLoadError: An external package folder does not exist.
    """
    root = str(directory)
    if root in sys.path:
        sys.path.remove(root)
    sys.path.insert(0, root)
    bundled = directory / config.bundled_packages_dir
    folders = [bundled] if bundled.is_dir() else []
    for entry in config.external_package_dirs:
        folder = (directory / entry).resolve()
        if not folder.is_dir():
            raise ModelLoadError(f"config.yaml: external_package_dirs: there is no folder {entry} (that is {folder})")
        folders.append(folder)
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    importlib.invalidate_caches()
    alias.install()


def import_model_class(directory: Path, config: TrussConfig) -> tuple[type, Path]:
    """Imports the model's file; returns its class and the file's absolute path. Runs the user's code.

    Raises:
        ModelLoadError: There is no such file or class, or the code raises.
    """
    shown = Path(config.model_module_dir) / config.model_class_filename
    model_file = directory / shown
    if not model_file.is_file():
        raise ModelLoadError(
            f"{shown}: not found in {directory}. A Truss directory holds the model's code there; "
            "`model_module_dir` and `model_class_filename` in config.yaml name another place."
        )
    try:
        module = _import_file(directory, model_file)
    except BaseException as exc:
        # SystemExit, too: a script that calls sys.exit() must end in a message, not in silence.
        raise ModelLoadError(_explain(exc, shown), format_user_traceback(exc, model_file)) from exc
    model_class = getattr(module, config.model_class_name, None)
    if model_class is None:
        raise ModelLoadError(f"{shown}: {_no_class(module, config.model_class_name)}")
    if not isinstance(model_class, type):
        kind = type(model_class).__name__
        raise ModelLoadError(f"{shown}: `{config.model_class_name}` must be a class, got an object of type {kind}.")
    return model_class, model_file


def _import_file(directory: Path, model_file: Path) -> ModuleType:
    package = _packages(directory, model_file.parent.relative_to(directory).parts)
    stem = model_file.stem.replace(".", "_")
    name = f"{package}.{stem}" if package else stem
    if not package and name in sys.modules:
        # A top-level file such as types.py must not take the place of a module that is in use.
        name = f"truss_model_{stem}"
    spec = importlib.util.spec_from_file_location(name, model_file)
    if spec is None or spec.loader is None:
        raise ModelLoadError(f"{model_file.name}: `model_class_filename` must name a Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs, as the import system does: dataclasses, pickle and typing look the module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    if package:
        setattr(sys.modules[package], stem, module)
    return module


def _packages(directory: Path, parts: Sequence[str]) -> str:
    """Registers each folder of `parts` as a package; returns the dotted name of the innermost, or ""."""
    name = ""
    folder = directory
    for part in parts:
        parent, name, folder = name, f"{name}.{part}" if name else part, folder / part
        module = sys.modules.get(name)
        if module is None or str(folder) not in list(getattr(module, "__path__", ())):
            module = _package(name, folder)
            if parent:
                setattr(sys.modules[parent], part, module)
    return name


def _package(name: str, folder: Path) -> ModuleType:
    """Makes `folder` the package `name` by itself: an installed package of this name would win over a folder without
    __init__.py on sys.path."""
    init = folder / "__init__.py"
    locations = [str(folder)]
    spec: ModuleSpec | None
    if init.is_file():
        spec = importlib.util.spec_from_file_location(name, init, submodule_search_locations=locations)
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = locations
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if spec.loader is not None and init.is_file():
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
    return module


def _explain(exc: BaseException, shown: Path) -> str:
    message = f"{shown}: importing the model raised {describe_exception(exc)}"
    text = str(exc)
    if isinstance(exc, ImportError) and "relative import" in text:
        return (
            f"{message}\nA relative import reaches only the files beside {shown.name}. From the top of the Truss "
            f"directory write `from {shown.parent.name or shown.stem}.other import x`; modules in `packages/` are "
            "imported by their own name, `import helper`."
        )
    if isinstance(exc, ModuleNotFoundError) and exc.name:
        top = exc.name.partition(".")[0]
        return f"{message}\nInstall `{top}` (`requirements` in config.yaml), or put the module in `packages/`."
    return message


def describe_exception(exc: BaseException) -> str:
    """Returns type and text of `exc` on one line, also when its __str__ fails."""
    try:
        text = str(exc)
    except Exception:
        text = "<its text cannot be read>"
    first = text.strip().splitlines()[0][:500] if text.strip() else ""
    return f"{type(exc).__name__}: {first}" if first else type(exc).__name__


def _no_class(module: ModuleType, wanted: str) -> str:
    own = [
        name for name, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    found = f"it defines {', '.join(f'`{name}`' for name in own[:10])}" if own else "it defines no class"
    return (
        f"there is no class `{wanted}` in it; {found}. Name the class `{wanted}`, "
        "or give its name as `model_class_name` in config.yaml."
    )
