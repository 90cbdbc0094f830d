"""The modules in sys.modules that come from a Truss directory, to be imported anew."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from penstock.truss import TrussConfig

INSTALLED = frozenset({"site-packages", "dist-packages"})
OURS = ("penstock", "penstock_runner", "penstock_edge", "penstock_controller")
"""Never the user's, even where the whole repository stands in a Truss directory."""


@dataclass(slots=True)
class UserModules:
    """Modules of the user, as they stood in sys.modules."""

    roots: tuple[Path, ...]
    left_out: tuple[Path, ...]
    modules: dict[str, ModuleType]
    parents: list[tuple[ModuleType, str, object]]
    """Packages of others, with the attribute under which they know a module of the user's."""

    @classmethod
    def find(cls, directory: Path, config: TrussConfig) -> UserModules:
        """Finds what was imported from the Truss directory and the external package folders.

        Python source only: code of C extensions can be loaded once in a process. What is installed below the directory
        (`.venv`, site-packages) is left out, and so is what lies in the data folder: its code came with the weights.
        """
        data = directory / config.data_dir
        holds_code = (directory / config.model_module_dir).is_relative_to(data)
        roots = (directory, *((directory / entry).resolve() for entry in config.external_package_dirs))
        found = cls(roots, () if holds_code else (data,), {}, [])
        found.modules = {name: module for name, module in list(sys.modules.items()) if found._is_users(name, module)}
        found.parents = list(found._parents())
        return found

    def take_out(self) -> None:
        """Removes the modules from sys.modules, and what Python has cached of them on disk."""
        self._remove(self.modules)
        importlib.invalidate_caches()

    def put_back(self) -> None:
        """Makes sys.modules hold what it held before, and no module of the user's besides."""
        self._remove([name for name, module in list(sys.modules.items()) if self._is_users(name, module)])
        sys.modules.update(self.modules)
        for parent, attribute, value in self.parents:
            setattr(parent, attribute, value)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            module = sys.modules.pop(name, None)
            cached = getattr(getattr(module, "__spec__", None), "cached", None)
            if cached is not None:
                # A cached file is good for a source of the same size and second, so it may be that of the code before.
                try:
                    Path(cached).unlink(missing_ok=True)
                except OSError:
                    # Then Python could not have written it either.
                    continue

    def _parents(self) -> Iterable[tuple[ModuleType, str, object]]:
        for name in self.modules:
            parent_name, _, attribute = name.rpartition(".")
            parent = sys.modules.get(parent_name)
            if parent is not None and parent_name not in self.modules and attribute in vars(parent):
                yield parent, attribute, vars(parent)[attribute]

    def _is_users(self, name: str, module: object) -> bool:
        # sys.modules may hold anything; only of real modules the attributes are read, without running any code.
        if not isinstance(module, ModuleType) or name == "__main__" or name.partition(".")[0] in OURS:
            return False
        names = object.__getattribute__(module, "__dict__")
        file = names.get("__file__")
        if isinstance(file, str):
            return file.endswith(".py") and self._is_inside(Path(file))
        try:
            folders = [Path(folder) for folder in names.get("__path__") or ()]
        except Exception:
            # The path of a namespace package is worked out from its parent, which may be gone.
            return False
        return bool(folders) and all(map(self._is_inside, folders))

    def _is_inside(self, path: Path) -> bool:
        if any(path.is_relative_to(folder) for folder in self.left_out):
            return False
        for root in self.roots:
            if path.is_relative_to(root):
                parts = path.relative_to(root).parts
                return not any(part in INSTALLED or part.startswith(".") for part in parts)
        return False
