"""Puts new code of a model in the place of the old one, without `__init__` and `load` (truss.md section 2.8).

The modules of the Truss directory are imported anew, and an object of the new class takes over the attributes of the
old one. Both then share one dictionary, so weights stay where they are, and what a method of either sets, the other
sees. The old object keeps its class: what runs in it goes on with the code that it began with.

What stays old, because nothing can reach it: objects of the user's other classes that the attributes hold, bound
methods and functions that were stored or given to threads, and what `load` has made of them.
"""

from __future__ import annotations

import inspect
import sys
import threading
import traceback
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import BuiltinMethodType
from typing import Any

from penstock.truss import TrussConfig
from penstock_runner.model.definition import check_model
from penstock_runner.model.errors import HotReloadError, ModelDefinitionError, ModelLoadError
from penstock_runner.model.importing import describe_exception, extend_path, import_model_class
from penstock_runner.model.loaded import LoadedModel, format_user_traceback
from penstock_runner.model.old_imports import OldImports
from penstock_runner.model.user_modules import UserModules

TAKE_OVER = "penstock_take_over"
"""Method of a model that has to do with objects inside of it what is done with the model: the chainlet in one of
`penstock.chains`. It gets `successor`, and what makes the error for a change that needs a restart."""

_one_at_a_time = threading.Lock()
_made_in_vain: list[object] = []
"""Grows by one for each refused class that has a `__del__`: code that somebody has saved by hand."""


def reload_model(current: LoadedModel, directory: Path, config: TrussConfig) -> LoadedModel:
    """Imports the model anew; returns it with the state of `current`, which stays as it is.

    Runs the code that stands outside of functions in the user's modules: call it on a thread. Calls wait for one
    another. Until it returns, imports inside of functions of the old code find the old modules, afterwards the new.

    Raises:
        HotReloadError: The new code cannot be used. Modules and import path are as they were before.
    """
    with _one_at_a_time, OldImports() as others:
        path, writes_nothing = list(sys.path), sys.dont_write_bytecode
        # What is cached now could pass for code that is saved within the same second.
        sys.dont_write_bytecode = True
        modules = UserModules.find(directory, config)
        others.modules = modules.modules
        modules.take_out()
        try:
            return _load_anew(current, directory, config)
        except BaseException as exc:
            modules.put_back()
            sys.path[:] = path
            if isinstance(exc, HotReloadError):
                raise
            raise _explain(exc, directory) from exc
        finally:
            sys.dont_write_bytecode = writes_nothing


def _load_anew(current: LoadedModel, directory: Path, config: TrussConfig) -> LoadedModel:
    extend_path(directory, config)
    model_class, model_file = import_model_class(directory, config)
    instance = successor(current.instance, model_class)
    try:
        definition = check_model(instance)
        take_over = getattr(instance, TAKE_OVER, None)
        if take_over is not None:
            take_over(successor, _restart_needed)
    except ModelDefinitionError as exc:
        _give_up(instance)
        raise HotReloadError(f"ModelDefinitionError: {exc} ({model_file.relative_to(directory)})") from None
    except BaseException:
        _give_up(instance)
        raise
    kept = (current.instance,) if _is_end_noticed(current.instance) else ()
    return LoadedModel(
        instance=instance,
        websocket=definition.websocket,
        model_file=model_file,
        definition=definition,
        predecessors=(*current.predecessors, *kept),
    )


def successor(old: object, new_class: type) -> object:
    """Returns an object of `new_class` that shares the dictionary of `old`; values in slots are copied.

    Raises:
        HotReloadError: The state of `old` is kept elsewhere, or has no place in `new_class`; a restart is needed.
    """
    for cls in (type(old), new_class):
        native = _native_base(cls)
        if native is not object:
            raise _restart_needed(f"`{cls.__name__}` keeps its state as a `{native.__name__}`, not in attributes")
    try:
        new: object = object.__new__(new_class)
    except TypeError as exc:
        raise _restart_needed(f"`{new_class.__name__}` cannot be made without its `__init__`: {exc}") from None
    try:
        _hand_over(old, new)
        return new
    except BaseException:
        _give_up(new)
        raise


def _hand_over(old: object, new: object) -> None:
    state = _dictionary(old)
    loose = _slot_values(old)
    if state is not None:
        if _dictionary(new) is None:
            loose = {**state, **loose}
        else:
            object.__setattr__(new, "__dict__", state)
    for name, value in loose.items():
        try:
            object.__setattr__(new, name, value)
        except AttributeError:
            kind = type(new).__name__
            raise _restart_needed(f"`{kind}` has no place for the attribute `{name}` any more") from None


def _give_up(new: object) -> None:
    """Keeps a successor that was made in vain: its `__del__` would end what the old one needs."""
    if hasattr(type(new), "__del__"):
        _made_in_vain.append(new)


def _native_base(cls: type) -> type:
    """Returns the class in C that decides how an object of `cls` is laid out."""
    return next(base for base in cls.__mro__ if isinstance(vars(base).get("__new__"), BuiltinMethodType))


def _dictionary(instance: object) -> dict[str, Any] | None:
    try:
        found = object.__getattribute__(instance, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def _slot_values(instance: object) -> dict[str, Any]:
    """Returns the values of all `__slots__` that are set, by the names under which they are kept."""
    values: dict[str, Any] = {}
    for cls in type(instance).__mro__:
        for name, member in vars(cls).items():
            if inspect.ismemberdescriptor(member):
                try:
                    values.setdefault(name, member.__get__(instance))
                except AttributeError:  # declared, never set
                    continue
    return values


def _is_end_noticed(instance: object) -> bool:
    """Whether something would happen if `instance` were gone: it may give up what its successor needs."""
    return hasattr(type(instance), "__del__") or weakref.getweakrefcount(instance) > 0


def _restart_needed(reason: str) -> HotReloadError:
    return HotReloadError(f"A restart is needed: {reason}.", needs_restart=True)


def _explain(exc: BaseException, directory: Path) -> HotReloadError:
    cause = exc.__cause__
    if isinstance(exc, ModelLoadError) and cause is not None:
        return HotReloadError(_with_place(cause, directory), exc.user_traceback)
    if isinstance(exc, ModelLoadError):
        return HotReloadError(exc.message)
    return HotReloadError(describe_exception(exc), format_user_traceback(exc, directory))


def _with_place(exc: BaseException, directory: Path) -> str:
    """Returns type, text and place on one line: "SyntaxError: invalid syntax (model/model.py, line 3)"."""
    if isinstance(exc, SyntaxError):
        text, file, line = f"{type(exc).__name__}: {exc.msg}", exc.filename, exc.lineno
    else:
        text, (file, line) = describe_exception(exc), _last_place(traceback.extract_tb(exc.__traceback__), directory)
    if file is None:
        return text
    path = Path(file)
    shown = path.relative_to(directory) if path.is_relative_to(directory) else path
    return f"{text} ({shown}, line {line})"


def _last_place(stack: Iterable[traceback.FrameSummary], directory: Path) -> tuple[str | None, int | None]:
    found: tuple[str | None, int | None] = (None, None)
    for frame in stack:
        if Path(frame.filename).is_relative_to(directory):
            found = frame.filename, frame.lineno
    return found
