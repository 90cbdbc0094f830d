from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_controller.services import logs
from penstock_testing.controller_parts import ControllerParts, deployment

Served = Callable[[], AbstractAsyncContextManager[tuple[ControllerParts, Any]]]


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


async def read(stub: Any, **asked: object) -> list[str]:
    request = admin_pb2.ReadLogsRequest(**{"target": "echo", **asked})  # type: ignore[arg-type]  # fields by name
    return [f"{part.origin}: {line}" async for part in stub.ReadLogs(request, timeout=20) for line in part.lines]


async def lines_of(call: Any) -> AsyncIterator[str]:
    while (part := await call.read()) is not grpc.aio.EOF:
        for line in part.lines:
            yield f"{part.origin}: {line}"


async def start_one(parts: ControllerParts) -> str:
    await parts.operations.apply([deployment()], prune=True)
    await parts.until(lambda: len(parts.actuator.running) == 1)
    return next(iter(parts.actuator.running))


def test_build_ended_and_live_replicas_are_read_in_this_order(served_state: Served, log_dir: Path) -> None:
    async def scenario() -> None:
        async with served_state() as (parts, stub):
            alive = await start_one(parts)
            (log_dir / f"{alive}.log").write_text("1\n2\n3")
            (log_dir / "echo-1-aaaaa.log").write_text("crash\n")
            (log_dir / "build-echo-1.log").write_text("built\n")
            (log_dir / "voice-2-aaaaa.log").write_text("no\n")
            assert await read(stub, tail_lines=2) == [
                "build: built",
                "echo-1-aaaaa: crash",
                f"{alive}: 1",
                f"{alive}: 2",
                f"{alive}: 3",
            ]
            assert await read(stub, build_only=True) == ["build: built"]
            assert await read(stub, target="echo-1-aaaaa") == ["echo-1-aaaaa: crash"]

    asyncio.run(scenario())


def test_what_is_written_later_follows_also_of_replicas_that_start_later(
    served_state: Served, log_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOOK_S", 0.01)

    async def scenario() -> None:
        async with served_state() as (parts, stub):
            alive = await start_one(parts)
            path = log_dir / f"{alive}.log"
            path.write_text("1\n")
            call = stub.ReadLogs(admin_pb2.ReadLogsRequest(target="echo", follow=True), timeout=20)
            lines = lines_of(call)
            assert await anext(lines) == f"{alive}: 1"
            with path.open("a") as file:
                file.write("2\n3")
            assert await anext(lines) == f"{alive}: 2"
            (log_dir / "echo-1-zzzzz.log").write_text("new\n")
            assert await anext(lines) == "echo-1-zzzzz: new"
            call.cancel()

    asyncio.run(scenario())


def test_following_one_that_has_ended_ends(
    served_state: Served, log_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOOK_S", 0.01)

    async def scenario() -> None:
        async with served_state() as (parts, stub):
            await start_one(parts)
            (log_dir / "echo-1-aaaaa.log").write_text("1\nlast")
            expected = ["echo-1-aaaaa: 1", "echo-1-aaaaa: last"]
            assert await read(stub, target="echo-1-aaaaa", follow=True) == expected
            (log_dir / "build-echo-1.log").write_text("built\n")
            assert await read(stub, build_only=True, follow=True) == ["build: built"]

    asyncio.run(scenario())


def test_a_follower_ends_with_the_controller(served_state: Served, log_dir: Path) -> None:
    async def scenario() -> None:
        async with served_state() as (parts, stub):
            alive = await start_one(parts)
            (log_dir / f"{alive}.log").write_text("1\n")
            lines = lines_of(stub.ReadLogs(admin_pb2.ReadLogsRequest(target="echo", follow=True), timeout=20))
            assert await anext(lines) == f"{alive}: 1"

    asyncio.run(scenario())


def test_what_cannot_be_read_is_refused(served_state: Served, log_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with served_state() as (parts, stub):
            with pytest.raises(grpc.aio.AioRpcError, match="no replica 'echo'"):
                await read(stub)
            await start_one(parts)
            assert await read(stub) == [], "nothing was written yet"
            with pytest.raises(grpc.aio.AioRpcError, match="tail_lines: must be"):
                await read(stub, tail_lines=100_001)
            monkeypatch.setattr(logs, "READERS_MAX", 0)
            with pytest.raises(grpc.aio.AioRpcError, match="logs are read already"):
                await read(stub)

    asyncio.run(scenario())


def test_many_lines_come_in_messages_that_are_not_too_large() -> None:
    parts = list(logs._responses("r", ["x"] * 2500))
    assert [len(part.lines) for part in parts] == [1000, 1000, 500]
    parts = list(logs._responses("r", ["x" * 300_000] * 3))
    assert [len(part.lines) for part in parts] == [1, 1, 1]
    assert list(logs._responses("r", [])) == []
