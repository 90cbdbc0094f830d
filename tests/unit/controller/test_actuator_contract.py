"""What every engine must do. A new one is added to ENGINES with a class like LocalEngine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from penstock_controller.actuators.base import Actuator, ReplicaExit, ReplicaSpec
from penstock_testing.controller_parts import FakeActuator
from penstock_testing.local_replicas import (
    ID,
    IGNORE_TERM,
    WAIT_FOR_SIGNAL,
    Run,
    actuator,
    kill_replica,
    nothing_left,
    until,
)

OTHER = "echo-1-bbbbb"


class Life(Protocol):
    """One life of an actuator, with the exits it told of. Its replicas outlive it."""

    exits: list[ReplicaExit]

    @property
    def actuator(self) -> Actuator: ...


class Engine(Protocol):
    """An engine under test."""

    def life(self, *, deaf: bool = False) -> AbstractAsyncContextManager[Life]:
        """Opens an actuator on the engine. `deaf` replicas do not end when they are asked to."""
        ...

    def spec(self, replica_id: str) -> ReplicaSpec: ...

    async def started(self, life: Life, replica_id: str) -> None:
        """Returns when the replica runs its program."""
        ...

    async def end(self, life: Life, replica_id: str) -> None:
        """Ends a replica behind the back of the actuator."""
        ...


class LocalEngine:
    """Real processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def life(self, *, deaf: bool = False) -> AbstractAsyncContextManager[Life]:
        return actuator(self._folder, IGNORE_TERM if deaf else WAIT_FOR_SIGNAL)

    def spec(self, replica_id: str) -> ReplicaSpec:
        return ReplicaSpec(replica_id, "echo-1", "echo", "production", str(self._folder))

    async def started(self, life: Life, replica_id: str) -> None:
        assert isinstance(life, Run)
        await until(lambda: life.log(replica_id) != "")

    async def end(self, life: Life, replica_id: str) -> None:
        (process,) = [p for p in await life.actuator.list() if p.replica_id == replica_id]
        kill_replica(process.pid)


class FakeLife:
    """One life of the fake actuator."""

    def __init__(self, fake: FakeActuator) -> None:
        self._fake = fake
        self.exits: list[ReplicaExit] = []

    @property
    def actuator(self) -> Actuator:
        return self._fake


class FakeEngine:
    """The engine of the other unit tests: it must behave as a real one, or they prove nothing."""

    def __init__(self, _: Path) -> None:
        self._fake = FakeActuator()

    @asynccontextmanager
    async def life(self, *, deaf: bool = False) -> AsyncIterator[Life]:
        life = FakeLife(self._fake)
        await self._fake.open(life.exits.append)
        yield life
        await self._fake.close()

    def spec(self, replica_id: str) -> ReplicaSpec:
        return ReplicaSpec(replica_id, "echo-1", "echo", "production", "/models/echo")

    async def started(self, life: Life, replica_id: str) -> None:
        pass

    async def end(self, life: Life, replica_id: str) -> None:
        self._fake.end(replica_id, -9)


ENGINES: dict[str, Callable[[Path], Engine]] = {"local": LocalEngine, "fake": FakeEngine}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with nothing_left(tmp_path):
        yield ENGINES[request.param](tmp_path)


async def ids(life: Life) -> list[str]:
    return sorted(process.replica_id for process in await life.actuator.list())


def play(scenario: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(bounded())


def test_replica_that_was_started_is_listed(engine: Engine) -> None:
    async def scenario() -> None:
        async with engine.life() as life:
            process = await life.actuator.ensure(engine.spec(ID))

            assert (process.replica_id, process.deployment_id) == (ID, "echo-1")
            assert list(await life.actuator.list()) == [process]
            assert life.exits == []

    play(scenario())


def test_replica_is_started_once_however_often_it_is_ensured(engine: Engine) -> None:
    async def scenario() -> None:
        async with engine.life() as life:
            first = await life.actuator.ensure(engine.spec(ID))
            await life.actuator.ensure(engine.spec(OTHER))

            assert await life.actuator.ensure(engine.spec(ID)) == first
            assert await ids(life) == [ID, OTHER]

    play(scenario())


@pytest.mark.parametrize("deaf", [False, True])
def test_stop_returns_when_the_replica_is_gone_and_its_exit_was_told_once(engine: Engine, deaf: bool) -> None:
    async def scenario() -> None:
        async with engine.life(deaf=deaf) as life:
            await life.actuator.ensure(engine.spec(ID))
            await life.actuator.ensure(engine.spec(OTHER))
            await engine.started(life, ID)

            await life.actuator.stop(ID, grace_s=0.1 if deaf else 20)

            assert await ids(life) == [OTHER]
            assert [ended.replica_id for ended in life.exits] == [ID]
            await life.actuator.stop(ID, grace_s=1)
            life.actuator.check(ID)
            assert len(life.exits) == 1

    play(scenario())


def test_unknown_replica_is_gone_already(engine: Engine) -> None:
    async def scenario() -> None:
        async with engine.life() as life:
            await life.actuator.stop("nobody-1-aaaaa", grace_s=1)
            life.actuator.check("nobody-1-aaaaa")

            assert life.exits == []

    play(scenario())


def test_end_that_nobody_asked_for_is_told_once(engine: Engine) -> None:
    async def scenario() -> None:
        async with engine.life() as life:
            await life.actuator.ensure(engine.spec(ID))
            await life.actuator.ensure(engine.spec(OTHER))
            await engine.started(life, ID)

            await engine.end(life, ID)
            await until(lambda: life.exits != [])
            life.actuator.check(ID)

            assert [ended.replica_id for ended in life.exits] == [ID]
            assert await ids(life) == [OTHER]

    play(scenario())


def test_close_leaves_replicas_running_and_the_next_life_adopts_them(engine: Engine) -> None:
    async def scenario() -> None:
        async with engine.life() as life:
            before = [await life.actuator.ensure(engine.spec(replica_id)) for replica_id in (ID, OTHER)]
            await engine.started(life, ID)
        assert life.exits == []

        async with engine.life() as successor:
            after = await successor.actuator.list()
            assert {(p.replica_id, p.deployment_id, p.pid) for p in after} == {
                (p.replica_id, p.deployment_id, p.pid) for p in before
            }
            assert await successor.actuator.ensure(engine.spec(ID)) in after, "not started a second time"

            await engine.end(successor, OTHER)
            await until(lambda: successor.exits != [])
            assert [ended.replica_id for ended in successor.exits] == [OTHER]

    play(scenario())


@pytest.mark.parametrize("deaf", [False, True])
def test_stop_of_an_adopted_replica_is_the_same(engine: Engine, deaf: bool) -> None:
    async def scenario() -> None:
        async with engine.life(deaf=deaf) as life:
            await life.actuator.ensure(engine.spec(ID))
            await engine.started(life, ID)
        async with engine.life(deaf=deaf) as successor:
            await successor.actuator.stop(ID, grace_s=0.1 if deaf else 20)

            assert await ids(successor) == []
            assert [ended.replica_id for ended in successor.exits] == [ID]
        assert life.exits == []

    play(scenario())


def test_nothing_that_is_listed_may_have_been_started_unnoticed(engine: Engine) -> None:
    async def scenario() -> None:
        async with engine.life() as life:
            await life.actuator.ensure(engine.spec(ID))

            assert not await life.actuator.may_have_started(ID)

    play(scenario())
