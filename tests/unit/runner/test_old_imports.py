"""What import statements of other threads find while modules are imported anew."""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from penstock_runner.model.old_imports import OldImports


@pytest.fixture(autouse=True)
def untouched_import() -> Iterator[None]:
    before = builtins.__import__
    yield
    assert builtins.__import__ is before


def package() -> dict[str, ModuleType]:
    modules = {name: ModuleType(name) for name in ("old_pkg", "old_pkg.inner")}
    modules["old_pkg"].__path__ = []
    vars(modules["old_pkg"])["inner"] = modules["old_pkg.inner"]
    vars(modules["old_pkg.inner"])["X"] = 1
    return modules


def elsewhere(call: Callable[[], Any]) -> Any:
    """Returns what `call` returns or raises in another thread."""
    results: list[Any] = []

    def work() -> None:
        try:
            results.append(call())
        except Exception as exc:
            results.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    return results[0]


def run(statement: str, **names: object) -> dict[str, Any]:
    scope: dict[str, Any] = dict(names)
    exec(statement, scope)
    return scope


def importing(statement: str, **names: object) -> Callable[[], dict[str, Any]]:
    return lambda: run(statement, **names)


def test_every_form_of_import_finds_the_old_modules() -> None:
    modules = package()
    with OldImports() as others:
        others.modules = modules

        assert elsewhere(importing("import old_pkg"))["old_pkg"] is modules["old_pkg"]
        assert elsewhere(importing("import old_pkg.inner"))["old_pkg"] is modules["old_pkg"]
        assert elsewhere(importing("import old_pkg.inner as i"))["i"] is modules["old_pkg.inner"]
        assert elsewhere(importing("from old_pkg import inner"))["inner"] is modules["old_pkg.inner"]
        assert elsewhere(importing("from old_pkg.inner import X"))["X"] == 1
        assert elsewhere(importing("from old_pkg.inner import *"))["X"] == 1
        for statement in ("from . import inner", "from .inner import X", "from .inner import *"):
            assert elsewhere(importing(statement, __package__="old_pkg")).keys() & {"inner", "X"}


def test_the_thread_that_imports_anew_does_not_find_them() -> None:
    with OldImports() as others:
        others.modules = package()

        with pytest.raises(ModuleNotFoundError):
            run("import old_pkg")


def test_other_imports_are_as_ever() -> None:
    with OldImports() as others:
        others.modules = package()

        assert elsewhere(importing("import json.decoder"))["json"] is sys.modules["json"]
        assert elsewhere(importing("from json import loads"))["loads"] is sys.modules["json"].loads
        assert isinstance(elsewhere(importing("import not_there")), ModuleNotFoundError)
        assert isinstance(elsewhere(importing("from . import x", __package__="")), ImportError)
        assert isinstance(elsewhere(importing("from ... import x", __package__="old_pkg")), ImportError)


def test_what_an_old_module_does_not_have_is_looked_for() -> None:
    with OldImports() as others:
        others.modules = package()

        assert isinstance(elsewhere(importing("from old_pkg import never_imported")), ModuleNotFoundError)


def test_afterwards_nothing_old_is_found() -> None:
    with OldImports() as others:
        others.modules = package()

    assert isinstance(elsewhere(importing("import old_pkg")), ModuleNotFoundError)


def test_import_function_that_the_model_puts_there_stays_and_works() -> None:
    before = builtins.__import__
    with OldImports() as others:
        others.modules = package()
        ours = builtins.__import__
        theirs = lambda *args, **kwargs: ours(*args, **kwargs)  # noqa: E731  # as a library does that watches imports
        builtins.__import__ = theirs

    try:
        assert builtins.__import__ is theirs
        assert isinstance(elsewhere(importing("import old_pkg")), ModuleNotFoundError)
        assert run("import json")["json"] is sys.modules["json"]
    finally:
        builtins.__import__ = before
