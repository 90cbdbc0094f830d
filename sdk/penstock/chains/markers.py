"""What `depends` and `depends_context` return: defaults of `__init__` arguments that stand for what is injected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, overload

from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.options import DEFAULT_CONCURRENCY_LIMIT, DEFAULT_TIMEOUT_S, RPCOptions

if TYPE_CHECKING:
    from penstock.chains.abc_chainlet import ABCChainlet, ChainletT
    from penstock.chains.context import DeploymentContext
    from penstock.chains.truss_chainlet import TrussChainlet, TrussHandle

INIT_EXAMPLE = """\
class Greeter(chains.ChainletBase):
    def __init__(self, rand_int=chains.depends(RandInt), context=chains.depends_context()) -> None:
        self._rand_int = rand_int"""


class DependencyMarker:
    """Stands for another chainlet until one is injected."""

    def __init__(self, chainlet: type[ABCChainlet], options: RPCOptions) -> None:
        self.chainlet = chainlet
        self.options = options

    def __repr__(self) -> str:
        return f"depends({getattr(self.chainlet, '__name__', self.chainlet)})"

    def __getattr__(self, name: str) -> NoReturn:
        # Names of protocols, e.g. `__deepcopy__`, are asked for by libraries, which count on AttributeError.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        raise ChainsRuntimeError(_misplaced(repr(self), "Dependency Chainlets must be passed as init arguments."))


class ContextMarker:
    """Stands for the context until it is injected."""

    def __repr__(self) -> str:
        return "depends_context()"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        raise ChainsRuntimeError(_misplaced(repr(self), "The context must be passed as an init argument."))


def _misplaced(used: str, advice: str) -> str:
    return (
        f"It seems `chains.{used}` was used, but not as an argument to the `__init__` method of a Chainlet - "
        f"This is not supported. {advice}\nExample of correct `__init__` with dependencies:\n{INIT_EXAMPLE}"
    )


@overload
def depends(  # type: ignore[overload-overlap]  # a TrussChainlet is a chainlet, too, and the first match counts
    chainlet_cls: type[TrussChainlet],
    retries: int = ...,
    timeout_sec: float = ...,
    use_binary: bool = ...,
    concurrency_limit: int = ...,
) -> TrussHandle: ...
@overload
def depends(
    chainlet_cls: type[ChainletT],
    retries: int = ...,
    timeout_sec: float = ...,
    use_binary: bool = ...,
    concurrency_limit: int = ...,
) -> ChainletT: ...
def depends(
    chainlet_cls: type[ABCChainlet],
    retries: int = 1,
    timeout_sec: float = DEFAULT_TIMEOUT_S,
    use_binary: bool = False,
    concurrency_limit: int = DEFAULT_CONCURRENCY_LIMIT,
) -> Any:
    """Marks an `__init__` argument as another chainlet.

    Written as the default of the argument. Deployed, a stub of that chainlet is injected; under `run_local`, an
    instance.

    Args:
        chainlet_cls: The class of the dependency.
        retries: Attempts of each call in all.
        timeout_sec: Time for one attempt, in seconds.
        use_binary: Whether arguments and results travel in binary; pays for numpy arrays and bytes.
        concurrency_limit: Calls that are under way at once; further ones wait.

    Raises:
        pydantic.ValidationError: an option is of the wrong type.
    """
    options = RPCOptions(
        retries=retries, timeout_sec=timeout_sec, use_binary=use_binary, concurrency_limit=concurrency_limit
    )
    return DependencyMarker(chainlet_cls, options)


def depends_context() -> DeploymentContext:
    """Marks the last `__init__` argument, which must be named `context`, as the context of the deployment."""
    marker: Any = ContextMarker()
    return marker  # type: ignore[no-any-return]  # what is injected in its place
