"""A real edge and runner with a model for requests; both must be sound after every test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from penstock_testing.asked_model import MODEL, write_asked_model
from penstock_testing.raw_http import RawHttp, raw_http
from penstock_testing.static_platform import StaticPlatform, static_platform

Scenario = Callable[[RawHttp], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture(scope="package")
def running_asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StaticPlatform]:
    folder = tmp_path_factory.mktemp("asked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PENSTOCK_WEBHOOK_ALLOW_PRIVATE", "1")
        patch.setenv("PENSTOCK_WEBHOOK_SECRET", "new,old")
        with static_platform(write_asked_model(folder), folder, model=MODEL) as platform:
            yield platform


@pytest.fixture
def asked(running_asked: StaticPlatform) -> Iterator[StaticPlatform]:
    yield running_asked
    running_asked.assert_sound(may_log_tracebacks=True)


@pytest.fixture
def play(asked: StaticPlatform) -> Play:
    """Runs a scenario on a fresh connection."""

    async def run(scenario: Scenario) -> None:
        async with asyncio.timeout(60), raw_http(asked.http) as client:
            await scenario(client)

    return lambda scenario: asyncio.run(run(scenario))
