"""Imports the chainlet that a runner serves."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from penstock.chains import alias, registry
from penstock.chains.errors import ChainsUsageError

PACKAGES = "packages"
"""Folder of a generated Truss directory with the user's code."""


def import_chainlet(module_name: str, class_name: str, model_file: str | None) -> type:
    """Imports the user's module; returns the class, unchecked.

    Chainlet classes of modules that are gone are forgotten: a hot reload has taken them out, and they come anew.

    Args:
        model_file: the generated model.py, which says where the user's code must come from; None when unknown.

    Raises:
        ChainsUsageError: there is no such class, or another module of that name stands in the way.
        BaseException: whatever the module raises.
    """
    alias.install()
    with registry.transaction():
        module = importlib.import_module(module_name)
        if model_file is not None:
            _check_origin(module, module_name, Path(model_file))
        found = getattr(module, class_name, None)
        if not isinstance(found, type):
            raise ChainsUsageError(f"{module_name}.py has no chainlet class `{class_name}`.")
    return found


def _check_origin(module: ModuleType, name: str, model_file: Path) -> None:
    packages = model_file.parent.parent / PACKAGES
    stem = packages.joinpath(*name.split("."))
    if not any(path.is_file() for path in (stem.with_suffix(".py"), stem / "__init__.py")):
        return
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).resolve().is_relative_to(packages.resolve()):
        raise ChainsUsageError(
            f"The chain's module `{name}` is hidden by another of that name ({file or 'a built-in one'}). "
            f"Rename {name.replace('.', '/')}.py."
        )
