"""One edge and one runner for all tests of this folder; after each test both must be as sound as before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from penstock_testing.raw_websocket import Play, RawWebSocket, raw_websocket
from penstock_testing.static_platform import StaticPlatform, static_platform
from penstock_testing.witness import Witness, write_witness


@pytest.fixture(scope="session")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Witness:
    return write_witness(tmp_path_factory.mktemp("truss"))


@pytest.fixture(scope="session")
def running_platform(witness: Witness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticPlatform]:
    folder = tmp_path_factory.mktemp("platform")
    with static_platform(witness.model_dir, folder, model="witness", environment=witness.environment) as platform:
        yield platform


@pytest.fixture
def platform(running_platform: StaticPlatform) -> Iterator[StaticPlatform]:
    """The platform; the test fails when it leaves a stream, a traceback or a dead process behind."""
    yield running_platform
    running_platform.assert_sound()


@pytest.fixture
def case(request: pytest.FixtureRequest) -> str:
    """A name for the stream of this test, which the model writes down."""
    return "".join(character if character.isalnum() else "-" for character in request.node.nodeid.split("::")[-1])


@pytest.fixture
def path(platform: StaticPlatform, case: str) -> str:
    """The path of the model's WebSocket, naming the case."""
    return f"{platform.websocket_path}?case={case}"


@pytest.fixture
def play(platform: StaticPlatform) -> Play:
    """Runs a scenario on a fresh TCP connection to the edge."""

    def run(scenario: Callable[[RawWebSocket], Awaitable[None]]) -> None:
        async def connected() -> None:
            async with raw_websocket(platform.http) as client:
                await scenario(client)

        asyncio.run(connected())

    return run
