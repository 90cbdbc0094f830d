"""Who may make a chainlet, and what its `__init__` gets when the caller gives nothing.

`guard_init` wraps the `__init__` of every chainlet class, once and for good: under `run_local` it fills in dependencies
and the context, elsewhere it wants them given by keyword, as the platform does. Nothing is patched while a chain runs
locally, so threads, tasks and nested uses do not see one another's.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any

from penstock.chains.context import DeploymentContext
from penstock.chains.errors import ChainsRuntimeError, ChainsUsageError
from penstock.chains.markers import ContextMarker, DependencyMarker

_GUARDED = "__penstock_guarded__"
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"})
_MODULE = "<module>"

_ADVICE = """\
Chainlets cannot be naively instantiated. Possible fixes:
1. To use Chainlets as dependencies in other Chainlets ('chaining'), add them as init argument.
2. For local / debug execution, use the `run_local`-context. You cannot use helper functions to instantiate the Chain \
in this case.
3. Push the chain and call the remote endpoint.
Example of correct `__init__` with dependencies:
class HelloWorld(chains.ChainletBase):
    # The default value says that HelloWorld calls RandInt; what is injected has its `run_remote`.
    def __init__(self, rand_int=chains.depends(RandInt, retries=3)) -> None:
        self._rand_int = rand_int

    async def run_remote(self, max_value: int) -> str:
        num_repetitions = await self._rand_int.run_remote(max_value)
        return "Hello World! " * num_repetitions"""


class LocalRun:
    """One use of `run_local`: what it injects, and where it was entered."""

    def __init__(self, context: Mapping[str, Any], entered: FrameType) -> None:
        """Takes the arguments of the DeploymentContext that chainlets get, and the frame with the `with`."""
        self._context = context
        self._entered: FrameType | None = entered
        self._thread = threading.get_ident()
        self._singletons: dict[type, object] = {}

    def close(self) -> None:
        """Injects nothing from now on; also in tasks and contexts that it has been copied into."""
        self._entered = None
        self._singletons.clear()

    @property
    def is_open(self) -> bool:
        """Whether it has not been left."""
        return self._entered is not None

    def context(self) -> DeploymentContext:
        """Returns what chainlets get as `context`."""
        return DeploymentContext(**self._context)

    def dependency(self, user: type, parameter: str, chainlet: type) -> object:
        """Returns the one instance of `chainlet`, for `parameter` of the `__init__` of `user`.

        Raises:
            ChainsUsageError: it is a TrussChainlet, which has no code to run here.
        """
        from penstock.chains.abc_chainlet import ABCChainlet, EntityType  # which imports this module

        if issubclass(chainlet, ABCChainlet) and chainlet.entity_type is EntityType.TRUSS_CHAINLET:
            raise ChainsUsageError(
                f"`run_local` cannot instantiate TrussChainlet dep `{chainlet.__name__}` for chainlet "
                f"`{user.__name__}` — TrussChainlets wrap deployable Truss directories, not local classes. Pass a stub "
                f"(e.g. a `penstock.chains.truss_chainlet.TrussHandle` configured with test URLs) directly via "
                f"`{parameter}=...` when instantiating `{user.__name__}`."
            )
        if chainlet not in self._singletons:
            self._singletons[chainlet] = chainlet()
        return self._singletons[chainlet]

    def allows(self, frame: FrameType) -> bool:
        """Tells whether code in `frame` may make a chainlet.

        It may at the level of a module, in the function with the `with`, and, when that function is not among the
        callers (a fixture of pytest, an ExitStack), wherever no method of a chainlet is.
        """
        while frame.f_code.co_name in _COMPREHENSIONS and frame.f_back is not None:
            frame = frame.f_back
        if frame is self._entered or frame.f_code.co_name == _MODULE or frame.f_code.co_filename == __file__:
            return True
        if threading.get_ident() != self._thread:
            return False
        caller: FrameType | None = frame
        while caller is not None:
            if caller is self._entered or _is_method_of_chainlet(caller):
                return False
            caller = caller.f_back
        return True


_active: ContextVar[LocalRun | None] = ContextVar("penstock_chains_local_run", default=None)


@contextmanager
def active(run: LocalRun) -> Iterator[None]:
    """Makes `run` the one that chainlets are made under, in this context."""
    outer = _active.get()
    _active.set(run)
    try:
        yield
    finally:
        run.close()
        # Not by a token: the generator of a fixture may be finished in another context than it has begun in.
        if _active.get() is run:
            _active.set(outer)


def _active_run() -> LocalRun | None:
    run = _active.get()
    return run if run is not None and run.is_open else None


class _UnderConstruction(threading.local):
    """Instances whose `__init__` runs in this thread, the innermost last."""

    def __init__(self) -> None:
        self.instances: list[object] = []


_under_construction = _UnderConstruction()


def guard_init(cls: type) -> None:
    """Wraps the `__init__` that `cls` itself has, if it has one. Signature and source stay those of the original."""
    original = cls.__dict__.get("__init__")
    if original is None or getattr(original, _GUARDED, False):
        return
    markers = _markers_of(original)

    @functools.wraps(original)
    def guarded(self: object, *args: Any, **kwargs: Any) -> None:
        instances = _under_construction.instances
        if any(instance is self for instance in instances):  # `super().__init__(…)`
            original(self, *args, **_filled(cls, original, markers, args, kwargs, sys._getframe(1)))
            return
        run = _active_run()
        if args and run is not None:
            raise TypeError(
                f"{type(self).__qualname__}.__init__() takes 1 positional argument but {len(args) + 1} were given; "
                "give arguments of chainlets by keyword"
            )
        if args:
            raise ChainsRuntimeError("Only kwargs are allowed.")
        frame = sys._getframe(1)
        if run is not None and not run.allows(frame):
            raise ChainsRuntimeError(_naive(type(self), frame))
        instances.append(self)
        try:
            original(self, **_filled(cls, original, markers, (), kwargs, frame))
        finally:
            instances.pop()

    setattr(guarded, _GUARDED, True)
    cls.__init__ = guarded  # type: ignore[misc]  # that is what this function is for


def _markers_of(init: Callable[..., None]) -> dict[str, DependencyMarker | ContextMarker]:
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(init).parameters.values()
        if isinstance(parameter.default, DependencyMarker | ContextMarker)
    }


def _filled(
    cls: type,
    init: Callable[..., None],
    markers: Mapping[str, DependencyMarker | ContextMarker],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    frame: FrameType,
) -> dict[str, Any]:
    """Returns `kwargs` and what a run injects for the arguments that are not given.

    Raises:
        ChainsRuntimeError: nothing injects an argument that must be given, or `context` is none.
        ChainsUsageError: a dependency cannot be made here.
    """
    filled = dict(kwargs)
    if not markers:
        return filled
    positional = _positional_names(init, len(args))
    given = dict(zip(positional, args, strict=False))
    run = _active_run()
    for parameter, marker in markers.items():
        if run is not None and parameter not in filled and parameter not in given:
            filled[parameter] = (
                run.context() if isinstance(marker, ContextMarker) else run.dependency(cls, parameter, marker.chainlet)
            )
        value = given.get(parameter, filled.get(parameter, marker))
        is_right = (
            isinstance(value, DeploymentContext)
            if isinstance(marker, ContextMarker)
            else not isinstance(value, DependencyMarker | ContextMarker)
        )
        if not is_right:
            raise ChainsRuntimeError(_naive(cls, frame, f"Its argument `{parameter}` was given `{value!r}`."))
    return filled


def _positional_names(init: Callable[..., None], count: int) -> list[str]:
    """Names of the first `count` arguments after `self`."""
    return list(inspect.signature(init).parameters)[1 : count + 1] if count else []


def _naive(chainlet: type, frame: FrameType, problem: str = "") -> str:
    code: CodeType = frame.f_code
    line = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals).strip()
    place = f"{code.co_filename}:{frame.f_lineno} ({code.co_name})" + (f"\n    {line}" if line else "")
    lines = (f"Error when instantiating Chainlet `{chainlet.__name__}`.", problem, place, _ADVICE)
    return "\n".join(line for line in lines if line)


def _is_method_of_chainlet(frame: FrameType) -> bool:
    from penstock.chains.abc_chainlet import ABCChainlet  # which imports this module

    code = frame.f_code
    if code.co_argcount == 0:
        return False
    # The compiler moves an argument that an inner function uses into a cell; `f_locals` knows both.
    return isinstance(frame.f_locals.get(code.co_varnames[0]), ABCChainlet)
