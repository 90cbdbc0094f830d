"""Chains in one process: what is injected, what may be given instead, and how long a run lasts."""

# ruff: noqa: I002  # annotations of chainlets must be types, not their texts
import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock import chains
from penstock.chains.errors import ChainsRuntimeError, ChainsUsageError, MissingDependencyError
from penstock_testing.local_chain import Chain

pytestmark = pytest.mark.usefixtures("fresh_registry")


@pytest.fixture
def chain(fresh_registry: object) -> Chain:
    return Chain()


def test_a_chain_runs_in_the_process(chain: Chain) -> None:
    with chains.run_local():
        top = chain.top()
    assert asyncio.run(top.run_remote(low=1)) == 22


def test_dependencies_are_made_once_per_class_and_run(chain: Chain) -> None:
    with chains.run_local():
        first, second = chain.top(), chain.top()
        assert first is not second and first.middle is second.middle
        assert first.middle.rand is first.other.rand and chain.rand.made == 1
        assert chain.rand() is not first.middle.rand
    with chains.run_local():
        assert chain.top().middle is not first.middle


def test_what_is_given_by_keyword_is_taken_instead(chain: Chain) -> None:
    class FakeRand:
        async def run_remote(self, low: int) -> int:
            return 100

    fake = FakeRand()
    with chains.run_local():
        middle = chain.middle(rand=fake)
        assert middle.rand is fake and chain.rand.made == 0
        assert asyncio.run(chain.top(middle=middle).run_remote(1)) == 1002
        assert chain.other().rand is not fake


def test_the_context_has_the_arguments(chain: Chain, tmp_path: Path) -> None:
    service = chains.DeployedServiceDescriptor(
        name="X", display_name="X", predict_url="http://x/run_remote", options=chains.RPCOptions()
    )
    with chains.run_local(secrets={"a": "b"}, data_dir=str(tmp_path), chainlet_to_service={"X": service}):
        context = chain.middle().context
    assert context.secrets["a"] == "b" and context.data_dir == tmp_path and context.environment is None
    assert context.get_service_descriptor("X") is service or context.get_service_descriptor("X") == service
    with pytest.raises(MissingDependencyError, match="Y"):
        context.get_service_descriptor("Y")
    with pytest.raises(MissingDependencyError, match="baseten_chain_api_key"):
        context.get_baseten_api_key()


def test_without_arguments_the_context_is_empty(chain: Chain) -> None:
    with chains.run_local():
        context = chain.middle().context
    assert (dict(context.secrets), context.data_dir, dict(context.chainlet_to_service)) == ({}, None, {})


def test_only_a_context_is_taken_as_context(chain: Chain) -> None:
    with chains.run_local():
        assert chain.middle(context=chains.DeploymentContext(chainlet_to_service={}, secrets={})).context.secrets == {}
        with pytest.raises(ChainsRuntimeError, match="`context` was given `3`"):
            chain.middle(context=3)


def test_positional_arguments_are_refused(chain: Chain) -> None:
    with chains.run_local(), pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        chain.middle(1)
    with pytest.raises(ChainsRuntimeError, match=r"^Only kwargs are allowed\.$"):
        chain.middle(1)


def test_unknown_arguments_are_a_type_error(chain: Chain) -> None:
    with chains.run_local(), pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
        chain.middle(x=1)


def test_outside_nothing_is_injected(chain: Chain) -> None:
    with pytest.raises(ChainsRuntimeError, match=r"(?s)^Error when instantiating Chainlet `Top`\..*cannot be naively"):
        chain.top()
    assert chain.other(rand=1).rand == 1
    chain.rand()


def test_after_the_end_and_after_an_exception_nothing_is_injected(chain: Chain) -> None:
    with pytest.raises(KeyError), chains.run_local():
        raise KeyError
    with pytest.raises(ChainsRuntimeError, match="naively"):
        chain.top()


def test_a_run_inside_another_has_its_own_instances_and_context(chain: Chain) -> None:
    with chains.run_local(secrets={"run": "outer"}):
        outer = chain.middle()
        with chains.run_local(secrets={"run": "inner"}):
            inner = chain.middle()
        again = chain.middle()
    assert inner.rand is not outer.rand and inner.context.secrets["run"] == "inner"
    assert again.rand is outer.rand and again.context.secrets["run"] == "outer"


def test_tasks_have_runs_of_their_own(chain: Chain) -> None:
    async def one(name: str, both_in: asyncio.Barrier) -> object:
        with chains.run_local(secrets={"name": name}):
            await both_in.wait()
            middle = chain.middle()
            await both_in.wait()
            assert middle.context.secrets["name"] == name
            return middle.rand

    async def scenario() -> None:
        both_in = asyncio.Barrier(2)
        first, second = await asyncio.gather(one("a", both_in), one("b", both_in))
        assert first is not second

    asyncio.run(scenario())


def test_other_threads_are_outside(chain: Chain) -> None:
    raised: list[BaseException] = []

    def make() -> None:
        try:
            chain.top()
        except ChainsRuntimeError as exc:
            raised.append(exc)

    with chains.run_local():
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        chain.top()  # and this thread does not notice
    assert "naively" in str(raised[0])


def test_a_thread_that_takes_the_context_along_may_not(chain: Chain) -> None:
    async def scenario() -> None:
        with chains.run_local(), pytest.raises(ChainsRuntimeError, match="naively"):
            await asyncio.to_thread(lambda: chain.top())  # a frame of ours in the thread

    asyncio.run(scenario())


def test_nothing_keeps_chainlets_alive(chain: Chain) -> None:
    with chains.run_local():
        kept = [weakref.ref(chain.top()), weakref.ref(chain.top().middle)]
    gc.collect()
    assert [reference() for reference in kept] == [None, None]


def test_a_task_that_outlives_the_run_is_outside(chain: Chain) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def late() -> None:
            await left.wait()
            chain.top()

        with chains.run_local():
            task = asyncio.create_task(late())
        left.set()
        with pytest.raises(ChainsRuntimeError, match="naively"):
            await task

    asyncio.run(scenario())


# Errors and streams


def test_errors_of_classes_are_raised_at_the_start() -> None:
    class NoAnnotations(chains.ChainletBase):
        async def run_remote(self, low):  # type: ignore[no-untyped-def]  # that is the mistake
            return low

    with pytest.raises(ChainsUsageError, match="does not comply"), chains.run_local():
        pytest.fail("the body must not run")


def test_a_truss_chainlet_must_be_given(tmp_path: Path) -> None:
    from penstock.chains.truss_chainlet import TrussHandle

    (tmp_path / "config.yaml").write_text("model_name: wrapped\n")

    class Wrapped(chains.TrussChainlet):
        truss_dir = tmp_path

    class Top(chains.ChainletBase):
        def __init__(self, wrapped: TrussHandle = chains.depends(Wrapped)) -> None:
            self.wrapped = wrapped

        async def run_remote(self, low: int) -> int:
            return low

    handle = TrussHandle.from_urls("http://localhost/run_remote")
    with chains.run_local():
        with pytest.raises(ChainsUsageError, match=r"TrussChainlet dep `Wrapped` for chainlet `Top`.*`wrapped=\.\.\.`"):
            Top()
        assert Top(wrapped=handle).wrapped is handle


def test_conversations_pass_their_iterators() -> None:
    class Double(chains.ChainletBase):
        async def run_remote(self, numbers: AsyncIterator[int]) -> AsyncIterator[int]:
            async for number in numbers:
                yield number * 2

    class Top(chains.ChainletBase):
        def __init__(self, double: Double = chains.depends(Double)) -> None:
            self.double = double

        async def run_remote(self, numbers: AsyncIterator[int]) -> AsyncIterator[str]:
            async for number in self.double.run_remote(numbers):
                yield str(number)

    async def talk(top: Top) -> None:
        async def numbers() -> AsyncIterator[int]:
            for number in (1, 2):
                yield number
                assert heard[-1] == str(number * 2)  # the answer has come before the next question

        heard: list[str] = []
        async for word in top.run_remote(numbers()):
            heard.append(word)  # noqa: PERF401  # `numbers` looks at it meanwhile
        assert heard == ["2", "4"]

    with chains.run_local():
        top = Top()
    asyncio.run(talk(top))
