"""Where chainlets may be made under `run_local`, and what subclasses and their bases get."""

# ruff: noqa: I002  # annotations of chainlets must be types, not their texts
import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from penstock import chains
from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.instantiation import guard_init
from penstock_testing.local_chain import Chain

pytestmark = pytest.mark.usefixtures("fresh_registry")


@pytest.fixture
def chain(fresh_registry: object) -> Chain:
    return Chain()


@pytest.fixture
def local_chain(chain: Chain) -> Iterator[Chain]:
    with chains.run_local():
        yield chain


# Where chainlets may be made


def test_a_fixture_may_hold_the_run(local_chain: Chain) -> None:
    assert local_chain.top().middle.rand is not None


def test_an_exit_stack_may_hold_the_run(chain: Chain) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(chains.run_local())
        chain.top()


def test_comprehensions_are_part_of_their_function(chain: Chain) -> None:
    with chains.run_local():
        assert len([chain.rand() for _ in range(2)]) == len({n: chain.rand() for n in range(2)}) == 2


def test_a_helper_of_the_function_may_not(chain: Chain) -> None:
    def helper() -> object:
        return chain.rand()

    with chains.run_local(), pytest.raises(ChainsRuntimeError) as caught:
        helper()
    lines = str(caught.value).splitlines()
    line = inspect.getsourcelines(helper)[1] + 1
    assert lines[:3] == [
        "Error when instantiating Chainlet `Rand`.",
        f"{__file__}:{line} (helper)",
        "    return chain.rand()",
    ]
    assert lines[3] == "Chainlets cannot be naively instantiated. Possible fixes:"


def test_a_coroutine_that_the_function_runs_may_not(chain: Chain) -> None:
    async def main() -> None:
        chain.rand()

    with chains.run_local(), pytest.raises(ChainsRuntimeError, match="naively"):
        asyncio.run(main())


class Naive:
    """Chainlets that make others by hand: in `__init__`, in `run_remote`, and in a helper of it."""

    def __init__(self, rand: Any) -> None:
        class InInit(chains.ChainletBase):
            def __init__(self) -> None:
                self.rand = rand()

            async def run_remote(self, low: int) -> int:
                return low

        class InRunRemote(chains.ChainletBase):
            async def run_remote(self, low: int) -> int:
                return int(await rand().run_remote(low))

        class InHelper(chains.ChainletBase):
            async def run_remote(self, low: int) -> int:
                return int(await make().run_remote(low))

        def make() -> Any:
            return rand()

        self.in_init, self.in_run_remote, self.in_helper = cast(Any, (InInit, InRunRemote, InHelper))


@pytest.mark.parametrize("where", ["in_init", "in_run_remote", "in_helper"])
def test_chainlets_may_not_make_chainlets(local_chain: Chain, where: str) -> None:
    # The run is a fixture's: its frame is not among the callers.
    cls = getattr(Naive(local_chain.rand), where)
    with pytest.raises(ChainsRuntimeError, match="instantiating Chainlet `Rand`"):
        asyncio.run(cls().run_remote(1))


def test_a_dependency_may_not_make_chainlets(chain: Chain) -> None:
    bad = Naive(chain.rand).in_init

    class User(chains.ChainletBase):
        def __init__(self, bad: bad = chains.depends(bad)) -> None:  # type: ignore[valid-type]  # a variable
            self.bad = bad

        async def run_remote(self, low: int) -> int:
            return low

    with chains.run_local(), pytest.raises(ChainsRuntimeError, match="instantiating Chainlet `Rand`"):
        User()


# Subclasses


def test_super_init_passes_on_or_gets_its_own(chain: Chain) -> None:
    def subclass(name: str, call_super: Callable[[Any, Any, Any], None]) -> Any:
        def __init__(
            self: Any,
            rand: chain.rand = chains.depends(chain.rand),  # type: ignore[name-defined]  # a variable
            context: chains.DeploymentContext = chains.depends_context(),
        ) -> None:
            call_super(super(made, self), rand, context)
            self.given = rand

        made = type(name, (chain.middle,), {"__init__": __init__})
        return made

    by_keyword = subclass("ByKeyword", lambda base, rand, context: base.__init__(rand=rand, context=context))
    by_position = subclass("ByPosition", lambda base, rand, context: base.__init__(rand, context))
    by_nothing = subclass("ByNothing", lambda base, rand, context: base.__init__())
    with chains.run_local():
        for cls in (by_keyword, by_position, by_nothing):
            made = cls()
            assert made.given is made.rand and made.context.secrets == {}
            assert cls(rand=5).given == 5
    context = chains.DeploymentContext(chainlet_to_service={}, secrets={})
    assert by_position(rand=1, context=context).rand == 1
    with pytest.raises(ChainsRuntimeError, match="`rand` was given `depends"):
        by_nothing(rand=1, context=context)


def test_a_subclass_without_init_gets_what_the_base_wants(chain: Chain) -> None:
    class Subclass(chain.other):  # type: ignore[misc, name-defined]  # the base is a variable
        async def run_remote(self, low: int) -> int:
            return -1

    with chains.run_local():
        assert isinstance(cast(Any, Subclass)().rand, chain.rand)


def test_classes_of_later_have_dependencies_too(chain: Chain) -> None:
    with chains.run_local():

        class Late(chains.ChainletBase):
            def __init__(self, rand: chain.rand = chains.depends(chain.rand)) -> None:  # type: ignore[name-defined]  # a variable
                self.rand = rand

            async def run_remote(self, low: int) -> int:
                return low

        assert isinstance(Late().rand, chain.rand)


def test_the_signature_stays_that_of_the_class(chain: Chain) -> None:
    assert list(inspect.signature(chain.middle).parameters) == ["rand", "context"]
    assert chain.middle.__init__.__qualname__.endswith("Middle.__init__")
    before = chain.middle.__init__
    guard_init(chain.middle)
    assert chain.middle.__init__ is before
