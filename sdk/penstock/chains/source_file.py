"""Loads the file that holds a chain."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from penstock.chains import alias, registry
from penstock.chains.abc_chainlet import ABCChainlet
from penstock.chains.chainlet import ChainletBase, ModelBase
from penstock.chains.errors import ChainsUsageError


@dataclass(frozen=True, slots=True)
class LoadedChain:
    """A chain file that follows the rules."""

    entrypoint: type[ABCChainlet]
    chain_name: str | None
    """As `mark_entrypoint` has it."""
    module_name: str
    workspace: Path
    """Folder of the file: what its modules import from."""
    source: Path
    """The file."""


def load_chain(path: Path, entrypoint: str | None = None) -> LoadedChain:
    """Runs a chain file and finds its entrypoint: the class `entrypoint`, else the one that is marked.

    A file whose only chainlet is not marked is taken, too, and so is one whose only class is a ModelBase. The module
    stays in `sys.modules` under its file's name, and its folder at the head of `sys.path`. When this fails, neither
    its modules nor its classes are left behind.

    Raises:
        ChainsUsageError: the file, its classes or its entrypoint break a rule; the text names everything.
        Exception: whatever the file itself raises.
    """
    source = path.resolve()
    name = _module_name(source)
    alias.install()
    with _import_of(source):
        module = _run(source, name)
        registry.raise_errors()
        chainlet = _named(module, entrypoint, source) if entrypoint else _marked(module, source)
        registry.graph(chainlet)
    return LoadedChain(
        entrypoint=chainlet,
        chain_name=chainlet.meta_data.chain_name,
        module_name=name,
        workspace=source.parent,
        source=source,
    )


def _module_name(source: Path) -> str:
    """Checks a path and returns the name that its module gets."""
    if not source.is_file():
        raise ChainsUsageError(
            f"`{source}` is not a file. You must point to a python file where the entrypoint is defined."
        )
    if source.suffix != ".py":
        raise ChainsUsageError(f"`{source}` is not a python file: its name must end in `.py`.")
    if source.name == "model.py":
        raise ChainsUsageError(
            "Python file name `model.py` is reserved and cannot be used. Rename the file, for example to `my_chain.py`."
        )
    if "-" in source.stem:
        raise ChainsUsageError(f"Python file `{source}` contains `-`, use `_` instead.")
    if not source.stem.isidentifier() or source.stem == "__init__":
        raise ChainsUsageError(f"Python file `{source}` must have a name that can be imported, e.g. `my_chain.py`.")
    return source.stem


@contextmanager
def _import_of(source: Path) -> Iterator[None]:
    """Puts the file's folder on `sys.path`. A failure leaves nothing behind."""
    folder = str(source.parent)
    modules = frozenset(sys.modules)
    path_before = list(sys.path)
    sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
    try:
        with registry.transaction():
            yield
    except BaseException:
        sys.path[:] = path_before
        for name in [name for name, module in sys.modules.items() if name not in modules and _is_below(module, folder)]:
            del sys.modules[name]
        raise


def _is_below(module: ModuleType | None, folder: str) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(folder)


def _run(source: Path, name: str) -> ModuleType:
    if name in sys.modules:
        raise ChainsUsageError(
            f"Could not import `{source}`. There is already a module in `sys.modules` with name `{name}`. Overwriting "
            "that value is unsafe. Try renaming your source file."
        )
    loader = SourceFileLoader(name, str(source))
    module = importlib.util.module_from_spec(ModuleSpec(name, loader, origin=str(source)))
    module.__file__ = str(source)
    sys.modules[name] = module
    # Not through the cache of compiled files, which takes an edit within a second for no edit.
    exec(loader.source_to_code(source.read_bytes(), str(source)), module.__dict__)
    return module


def _named(module: ModuleType, name: str, source: Path) -> type[ABCChainlet]:
    found = getattr(module, name, None)
    if found is None:
        raise ChainsUsageError(f"Target class `{name}` not found in `{source}`.")
    if not isinstance(found, type) or not issubclass(found, ChainletBase | ModelBase):
        raise ChainsUsageError(f"Target `{found}` is not a {ChainletBase}.")
    return found


def _marked(module: ModuleType, source: Path) -> type[ABCChainlet]:
    # An entrypoint may come from another module; what is imported may have been known before.
    here = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, ABCChainlet)]
    chainlets = [cls for cls in dict.fromkeys(here) if issubclass(cls, ChainletBase) and cls is not ChainletBase]
    marked = [chainlet for chainlet in chainlets if chainlet.meta_data.is_entrypoint]
    if len(marked) == 1:
        return marked[0]
    if marked:
        names = [chainlet.__name__ for chainlet in marked]
        raise ChainsUsageError(
            f"No entrypoint was named and multiple Chainlets in `{source}` were tagged with `@chains.mark_entrypoint`. "
            f"Tag one Chainlet or provide the Chainlet class name. Found Chainlets: \n{names}"
        )
    if len(chainlets) == 1:
        return chainlets[0]
    models = [cls for cls in dict.fromkeys(here) if issubclass(cls, ModelBase) and cls is not ModelBase]
    if not chainlets and len(models) == 1:
        return models[0]
    names = [chainlet.__name__ for chainlet in (*chainlets, *models)]
    raise ChainsUsageError(
        f"No entrypoint was named and no Chainlet in `{source}` was tagged with `@chains.mark_entrypoint`. Tag one "
        f"Chainlet or provide the Chainlet class name. Found Chainlets: \n{names}"
    )
