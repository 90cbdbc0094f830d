"""Paths that are written relative to the source file that names them."""

from __future__ import annotations

import inspect
import os

from penstock.chains.errors import MissingDependencyError


class AbsPath:
    """A path made by `make_abs_path_here`; it must exist when it is asked for."""

    def __init__(self, abs_file_path: str, creating_module: str, original_path: str) -> None:
        self._abs_file_path = abs_file_path
        self._creating_module = creating_module
        self._original_path = original_path

    def __repr__(self) -> str:
        return f"AbsPath({self._original_path!r}, in {self._creating_module!r})"

    @property
    def abs_path(self) -> str:
        """The absolute path.

        Raises:
            MissingDependencyError: nothing is there.
        """
        if not os.path.exists(self._abs_file_path):
            raise MissingDependencyError(
                f"With the file path `{self._original_path}` an absolute path relative to the calling module "
                f"`{self._creating_module}` was created, resulting `{self._abs_file_path}` - but no file was found."
            )
        return self._abs_file_path


def make_abs_path_here(file_path: str) -> AbsPath:
    """Makes a path relative to the folder of the module that calls this.

    Call it in the module that names the path, not through a helper in another one. An absolute path stays as it is.
    The path is looked at when the chain is pushed.
    """
    frame = inspect.currentframe()
    caller = frame.f_back if frame is not None else None
    if caller is None:
        raise RuntimeError("make_abs_path_here needs an interpreter that knows its callers")
    module_path = os.path.abspath(caller.f_code.co_filename)
    path = os.path.normpath(os.path.join(os.path.dirname(module_path), file_path))
    return AbsPath(path, module_path, file_path)
