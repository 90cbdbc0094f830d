"""Keeps code that runs on its modules while these are imported anew by another thread."""

from __future__ import annotations

import builtins
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any


class OldImports:
    """While it is entered, import statements of all other threads that name one of `modules` find that one.

    An import inside of a function would else find nothing in sys.modules, begin to import from disk, and take part in
    the making of modules that may be thrown away again. Imports by importlib are not covered.
    """

    def __init__(self) -> None:
        self.modules: Mapping[str, ModuleType] = {}
        """What others find, by full name. Empty means what everybody finds."""
        self._thread = threading.get_ident()
        self._before = builtins.__import__

    def __enter__(self) -> OldImports:
        self._before = builtins.__import__
        builtins.__import__ = self._import
        return self

    def __exit__(self, *_error: object) -> None:
        # The user's module may have put an import function of its own there, which calls ours: it stays.
        self.modules = {}
        if builtins.__import__ == self._import:
            builtins.__import__ = self._before

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if self.modules and threading.get_ident() != self._thread:
            found = self._find(name, globals, fromlist, level)
            if found is not None:
                return found
        return self._before(name, globals, locals, fromlist or (), level)

    def _find(
        self, name: str, names: Mapping[str, object] | None, fromlist: Sequence[str] | None, level: int
    ) -> ModuleType | None:
        if level:
            try:
                full = importlib.util.resolve_name("." * level + name, str((names or {}).get("__package__") or ""))
            except ImportError:
                return None
        else:
            full = name
        found = self.modules.get(full)
        if found is None or fromlist is None or not fromlist:
            return found and self.modules.get(full.partition(".")[0])
        # A submodule that was never imported is no attribute: it has to be imported.
        return found if all(item == "*" or hasattr(found, item) for item in fromlist) else None
