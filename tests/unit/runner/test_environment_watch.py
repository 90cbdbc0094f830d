"""How a model learns of its environment, and of a change of it (truss.md section 2.1)."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import structlog

from penstock_runner.environment_watch import (
    FILE_BYTES_MAX,
    EnvironmentFileError,
    EnvironmentWatch,
    environment_file,
    first_environment,
    read_environment,
)
from penstock_runner.model.loaded import LoadedModel
from penstock_testing.virtual_time import run_virtual


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest run an async test."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Model:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None

    async def setup_environment(self, environment: dict[str, Any]) -> None:
        self.told.append(environment)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error


class Files:
    """Writes the file; each time as another one, as a configuration map does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "environment"
        self._count = 0

    def write(self, content: object) -> None:
        self._count += 1
        new = self.path.with_name(f"new-{self._count}")
        new.write_text(content if isinstance(content, str) else json.dumps(content))
        new.replace(self.path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def watching(files: Files, instance: object, known: dict[str, Any] | None = None, **options: Any) -> EnvironmentWatch:
    loaded = LoadedModel(instance, None, Path(__file__))
    return EnvironmentWatch(files.path, lambda: loaded, known, **options)


def test_place_of_the_file_can_be_set() -> None:
    assert environment_file({}) == Path("/etc/b10_dynamic_config/environment")
    assert environment_file({"PENSTOCK_ENVIRONMENT_FILE": ""}) == Path("/etc/b10_dynamic_config/environment")
    assert environment_file({"PENSTOCK_ENVIRONMENT_FILE": "/x/y"}) == Path("/x/y")


@pytest.mark.parametrize("content", ["", " \n", "null"])
def test_file_with_nothing_in_it_is_no_environment(content: str, files: Files) -> None:
    files.write(content)

    assert read_environment(files.path) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [("{", "is not JSON"), ("[1]", "must hold a JSON object"), ("[" * 200_000, "is not JSON"), ('"x"', "must hold")],
)
def test_file_that_holds_something_else_is_named(content: str, problem: str, files: Files) -> None:
    files.write(content)

    with pytest.raises(EnvironmentFileError, match=problem):
        read_environment(files.path)


def test_file_that_is_too_large_is_not_read(files: Files) -> None:
    files.write(" " * (FILE_BYTES_MAX + 1))

    with pytest.raises(EnvironmentFileError, match="more than 1048576 bytes"):
        read_environment(files.path)


def test_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFileError, match="cannot be read"):
        read_environment(tmp_path)


def test_before_load_the_file_wins_over_the_name(files: Files) -> None:
    assert first_environment(files.path, None) is None
    assert first_environment(files.path, "staging") == {"name": "staging"}
    files.write({"name": "production", "region": "x"})
    assert first_environment(files.path, "staging") == {"name": "production", "region": "x"}


def test_before_load_a_bad_file_is_logged_and_the_name_holds(files: Files) -> None:
    files.write("{")

    with structlog.testing.capture_logs() as log:
        assert first_environment(files.path, "staging") == {"name": "staging"}

    assert [entry["event"] for entry in log] == ["environment_file_ignored"]


@on_a_loop
async def test_change_is_told_once(files: Files) -> None:
    model = Model()
    watch = watching(files, model, {"name": "staging"})
    files.write({"name": "staging"})
    await watch.look()
    files.write({"name": "production"})

    await watch.look()
    await watch.look()

    assert model.told == [{"name": "production"}]


@on_a_loop
async def test_same_content_in_a_new_file_is_no_change(files: Files) -> None:
    model = Model()
    watch = watching(files, model)
    for _ in range(3):
        files.write({"name": "production"})
        await watch.look()

    assert model.told == [{"name": "production"}]


@on_a_loop
async def test_file_that_goes_changes_nothing(files: Files) -> None:
    model = Model()
    watch = watching(files, model, {"name": "staging"})
    await watch.look()
    files.write({"name": "production"})
    await watch.look()
    files.path.unlink()
    await watch.look()

    assert model.told == [{"name": "production"}]


@on_a_loop
async def test_sync_method_is_called_in_a_thread(files: Files) -> None:
    threads = []

    class Sync:
        def setup_environment(self, environment: dict[str, Any]) -> None:
            threads.append(threading.current_thread())

    files.write({"name": "production"})

    await watching(files, Sync()).look()

    assert threads[0] is not threading.current_thread()


@on_a_loop
async def test_failure_is_logged_and_told_again_only_when_the_file_changes(files: Files) -> None:
    model = Model()
    model.error = ValueError("no such region")
    watch = watching(files, model)
    files.write({"name": "production"})

    with structlog.testing.capture_logs() as log:
        await watch.look()
        await watch.look()

    assert len(model.told) == 1
    assert [entry["event"] for entry in log] == ["Executing model.setup_environment...", "environment_setup_failed"]
    assert "ValueError: no such region" in log[1]["exception"]
    model.error = None
    os.utime(files.path, ns=(1, 1))
    await watch.look()
    assert model.told == [{"name": "production"}] * 2


@on_a_loop
async def test_bad_file_is_logged_once_and_changes_nothing(files: Files) -> None:
    model = Model()
    watch = watching(files, model)
    files.write("{")

    with structlog.testing.capture_logs() as log:
        await watch.look()
        await watch.look()

    assert [entry["event"] for entry in log] == ["environment_file_ignored"]
    assert model.told == []


@on_a_loop
async def test_model_without_the_method_is_left_alone(files: Files) -> None:
    files.write({"name": "production"})

    with structlog.testing.capture_logs() as log:
        await watching(files, object()).look()

    assert log == []


@on_a_loop
async def test_what_the_model_does_to_its_copy_has_no_effect(files: Files) -> None:
    class Changing(Model):
        async def setup_environment(self, environment: dict[str, Any]) -> None:
            environment["tags"].append("mine")
            self.told.append(environment)

    model = Changing()
    watch = watching(files, model)
    for _ in range(2):
        files.write({"tags": []})
        await watch.look()

    assert model.told == [{"tags": ["mine"]}]


def test_file_is_looked_at_every_thirty_seconds_and_a_slow_method_is_never_called_twice_at_once(files: Files) -> None:
    async def main() -> None:
        model = Model()
        model.gate = asyncio.Event()
        watch = watching(files, model, setup_s=100)
        task = asyncio.get_running_loop().create_task(watch.run())
        files.write({"name": "one"})
        await at(29)
        assert model.told == []
        await at(31)
        assert model.told == [{"name": "one"}]
        files.write({"name": "two"})
        await at(300)
        assert model.told == [{"name": "one"}]
        model.gate.set()
        await at(400)
        assert model.told == [{"name": "one"}, {"name": "two"}]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def at(time: float) -> None:
        passed = asyncio.Event()
        asyncio.get_running_loop().call_at(time, passed.set)
        await passed.wait()

    with structlog.testing.capture_logs() as log:
        run_virtual(main())

    assert [entry["event"] for entry in log].count("environment_setup_slow") == 2
