"""What a chainlet is given for its dependencies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.serving import injection
from penstock_testing.chainlet_serving import Answering, FakeRuntime, Install, Serve

SOURCE = """
class RandInt(chains.ChainletBase):
    remote_config = chains.RemoteConfig(name="Rand-Int")

    async def run_remote(self, most: int = 3) -> int:
        return most

class Hello(chains.ChainletBase):
    def __init__(
        self,
        rand_int: RandInt = chains.depends(RandInt, retries=3),
        context: chains.DeploymentContext = chains.depends_context(),
    ) -> None:
        self.rand_int = rand_int
        self.context = context

    async def run_remote(self, most: int) -> str:
        return str(await self.rand_int.run_remote(most=most))
"""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = asyncio.new_event_loop()
    yield found
    found.close()


def test_a_dependency_is_called_by_the_transport_to_its_deployment(
    serve: Serve, install: Install, loop: asyncio.AbstractEventLoop
) -> None:
    transport: Any = Answering(b"7")
    install(FakeRuntime({"Rand-Int": transport, "Hello": None}, loop))

    chainlet = serve(SOURCE, "Hello")._served.chainlet

    assert loop.run_until_complete(chainlet.run_remote(5)) == "7"
    assert b"".join(transport.calls[0].body) == b'{"most":5}'


def test_the_context_says_where_dependencies_are_by_class_name(
    serve: Serve, install: Install, loop: asyncio.AbstractEventLoop
) -> None:
    install(FakeRuntime({"Rand-Int": None, "Hello": None}, loop))

    context = serve(SOURCE, "Hello")._served.chainlet.context

    service = context.get_service_descriptor("RandInt")
    assert set(context.chainlet_to_service) == {"RandInt"}
    assert (service.name, service.display_name, service.options.retries) == ("RandInt", "Rand-Int", 3)
    assert service.predict_url == "http://127.0.0.1:2/chain/hello.Rand-Int/deployment/hello.Rand-Int-1/run_remote"


def test_without_a_platform_dependencies_fail_the_load(serve: Serve, install: Install) -> None:
    install(None)

    with pytest.raises(ChainsRuntimeError, match=r"`Hello` depends on `Rand-Int`, and so needs a controller"):
        serve(SOURCE, "Hello")


def test_a_chain_without_the_dependency_fails_the_load(
    serve: Serve, install: Install, loop: asyncio.AbstractEventLoop
) -> None:
    install(FakeRuntime({"Hello": None}, loop))

    with pytest.raises(ChainsRuntimeError, match="The chain `hello` has no chainlet `Rand-Int`; it has: Hello"):
        serve(SOURCE, "Hello")


def test_a_truss_is_given_as_a_handle(serve: Serve, install: Install, loop: asyncio.AbstractEventLoop) -> None:
    install(FakeRuntime({"Whisper": None, "Hello": None}, loop))

    model = serve(
        """
        from penstock.chains.truss_chainlet import TrussHandle

        class Whisper(chains.TrussChainlet):
            truss_dir = "/nowhere"

        class Hello(chains.ChainletBase):
            def __init__(self, whisper: TrussHandle = chains.depends(Whisper)) -> None:
                self.whisper = whisper

            async def run_remote(self) -> None: ...
        """,
        "Hello",
    )

    url = model._served.chainlet.whisper.http_call_args().url
    assert url == "http://127.0.0.1:2/chain/hello.Whisper/deployment/hello.Whisper-1/run_remote"


def test_the_urls_wait_for_an_edge_but_not_for_ever(
    serve: Serve, install: Install, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(injection, "EDGE_TIMEOUT_S", 0.1)
    runtime = FakeRuntime({"Rand-Int": None, "Hello": None}, loop)
    runtime.http_address = ""
    install(runtime)

    service = serve(SOURCE, "Hello")._served.chainlet.context.get_service_descriptor("RandInt")

    assert service.predict_url.startswith("http://no-edge.invalid/")
    assert runtime.asked > 2
