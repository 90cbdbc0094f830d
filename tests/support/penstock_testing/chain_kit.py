"""Chains in tests."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from penstock.chains import alias, registry
from penstock.chains.errors import ChainsUsageError
from penstock.chains.registry import ChainletRegistry

PRELUDE = "from collections.abc import AsyncIterator\nfrom penstock import chains\n"
"""Begins the files of `define`; two lines, so that the first line of a test's own text is line 3."""

Define = Callable[[str], ModuleType]
"""Runs text as a chain file of its own; returns the module."""


@pytest.fixture
def fresh_registry() -> Iterator[ChainletRegistry]:
    """An empty registry for the time of a test, so that chainlet classes of tests never meet."""
    fresh = ChainletRegistry()
    before = registry.use(fresh)
    try:
        yield fresh
    finally:
        registry.use(before)


@pytest.fixture
def clean_imports() -> Iterator[None]:
    """Takes back what a test imports, puts on `sys.path`, and gives other names."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("truss", "truss_chains")]:
        del sys.modules[name]  # of a test that ran before
    modules = frozenset(sys.modules)
    path = list(sys.path)
    finders = list(sys.meta_path)
    try:
        yield
    finally:
        alias.uninstall()
        sys.meta_path[:] = finders
        sys.path[:] = path
        # What belongs to the repository or its packages stays: a second copy of a module has other classes.
        for name in [name for name, module in sys.modules.items() if name not in modules and _is_of_test(module)]:
            del sys.modules[name]


def _is_of_test(module: ModuleType | None) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and "pytest-" in file


@pytest.fixture
def define(tmp_path: Path, fresh_registry: ChainletRegistry, clean_imports: None) -> Define:
    """Runs text after PRELUDE as the file `my_chain.py`, whose classes may break rules."""

    def run(source: str) -> ModuleType:
        file = tmp_path / "my_chain.py"
        file.write_text(PRELUDE + source.lstrip("\n"))
        module = ModuleType("my_chain")
        module.__file__ = str(file)
        sys.modules["my_chain"] = module
        exec(compile(file.read_bytes(), file, "exec", dont_inherit=True), module.__dict__)
        linecache.checkcache(str(file))
        return module

    return run


def problems_of(define: Define, source: str) -> list[str]:
    """Runs text with `define` and returns what is reported, one problem each, without the file's path."""
    path = f"{define(source).__file__}:"
    try:
        registry.raise_errors()
    except ChainsUsageError as exc:
        head, *found = str(exc).split(f"\n{path}")
        assert head == "The user defined code does not comply with the required spec, please fix below:"
        return found
    return []
