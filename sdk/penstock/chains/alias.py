"""Makes `import truss_chains` mean this package, and `truss.base.truss_config` the parts of it that chains use.

A package that is really installed wins; a folder that is only called so, without an `__init__.py`, does not. The
modules that are given are the very modules of this package, so that a class is the same under both names.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_HOME = "penstock.chains"
_ALIAS = "truss_chains"
_MOVED = {
    "truss_chains.private_types": "penstock.chains.abc_chainlet",
    "truss_chains.public_api": "penstock.chains",
    "truss_chains.remote_chainlet": "penstock.chains.remote_chainlet",
    "truss.base.trt_llm_config": "penstock.chains.trt_llm_config",
    "truss.base.truss_config": "penstock.chains.truss_config",
    "truss.truss_config": "penstock.chains.truss_config",
}
"""Names that do not lead to the same name below this package."""
_EMPTY_PACKAGES = ("truss", "truss.base")
"""Packages that hold nothing but what stands in `_MOVED`."""


class _AliasLoader(Loader):
    """Gives a module that exists already."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._home)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written the alias into it; it is its own module still.
        module.__spec__ = self._spec


class _EmptyPackageLoader(Loader):
    """Gives a package without anything in it."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = "Stands for a package that is not installed; `penstock.chains` has the parts that chains use."


class _TopFinder(MetaPathFinder):
    """Finds the two top names unless a package of that name is there.

    It stands before the others: the one for paths takes any folder of the name for a package.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in (_ALIAS, _EMPTY_PACKAGES[0]):
            return None
        for finder in sys.meta_path:
            if isinstance(finder, _TopFinder | _PartFinder):
                continue
            found = finder.find_spec(fullname, path, target)
            if found is not None and found.origin is not None:
                return found
        loader = _AliasLoader(_HOME) if fullname == _ALIAS else _EmptyPackageLoader()
        return ModuleSpec(fullname, loader, is_package=True)


class _PartFinder(MetaPathFinder):
    """Finds what is below the two top names when they are ours.

    It stands first: the import system would find the files of this package by the path of `truss_chains`, and load
    them a second time under the other name.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, part = fullname.partition(".")
        if not part or top not in (_ALIAS, _EMPTY_PACKAGES[0]) or not _is_ours(top):
            return None
        if fullname in _EMPTY_PACKAGES:
            return ModuleSpec(fullname, _EmptyPackageLoader(), is_package=True)
        home = _MOVED.get(fullname) or (f"{_HOME}.{part}" if top == _ALIAS else None)
        if home is None or not _exists(home):
            return None
        return ModuleSpec(fullname, _AliasLoader(home), is_package=hasattr(import_module(home), "__path__"))


def _is_ours(top: str) -> bool:
    module = sys.modules.get(top)
    if top == _ALIAS:
        return module is sys.modules.get(_HOME)
    # A folder without an `__init__.py`, which was imported before us, has nothing to say about what is below it.
    return module is not None and getattr(module, "__file__", None) is None


def _exists(home: str) -> bool:
    try:
        import_module(home)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (home == exc.name or home.startswith(f"{exc.name}.")):
            return False
        raise
    return True


def install() -> None:
    """Lets this process import `truss_chains` and `truss.base.truss_config`; again and again is fine."""
    if not any(isinstance(finder, _TopFinder) for finder in sys.meta_path):
        sys.meta_path[:0] = [_PartFinder(), _TopFinder()]


def uninstall() -> None:
    """Takes back what `install` did, with the modules that were imported through it; for tests."""
    names = [name for name in sys.modules if name.partition(".")[0] in (_ALIAS, _EMPTY_PACKAGES[0])]
    ours = [name for name in names if _is_ours(name.partition(".")[0])]
    for name in ours:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _TopFinder | _PartFinder)]
