from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.up.start_watch import EDITED_STARTS_MAX, StartWatch

MakeModel = Callable[..., Path]


@pytest.fixture
def folder(make_model: MakeModel) -> Path:
    return make_model()


def edit(folder: Path, name: str = "config.yaml") -> None:
    path = folder / name
    path.write_text(f"{path.read_text() if path.exists() else ''}#")


async def saved_during(watch: StartWatch, save: Callable[[], None]) -> str:
    """Returns what `watch` tells of; saves again and again until it does."""
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(watch.wait())
        while not waiting.done():
            await asyncio.wait([waiting], timeout=0.2)
            save()
    return waiting.result()


def test_any_save_ends_the_wait(folder: Path) -> None:
    async def main() -> None:
        watch = StartWatch([folder])
        await watch.begin()
        assert await saved_during(watch, lambda: edit(folder)) == "m/config.yaml"
        await watch.begin()
        assert await saved_during(watch, lambda: edit(folder, "new.py")) == "m/new.py"

    asyncio.run(main())


def test_an_edit_before_the_wait_is_not_lost(folder: Path) -> None:
    async def main() -> str:
        watch = StartWatch([folder])
        await watch.begin()
        edit(folder)
        edit(folder, "made_by_the_build.py")
        async with asyncio.timeout(10):
            return await watch.wait()

    assert asyncio.run(main()) == "m/config.yaml"


def test_a_model_that_edits_its_own_files_whenever_it_loads_is_not_started_for_ever(folder: Path) -> None:
    async def main() -> None:
        watch = StartWatch([folder])
        for _ in range(EDITED_STARTS_MAX):
            await watch.begin()
            edit(folder)
            async with asyncio.timeout(10):
                assert await watch.wait() == "m/config.yaml"
        await watch.begin()
        edit(folder)
        assert await saved_during(watch, lambda: edit(folder, "model/model.py")) == "m/model/model.py"
        # Somebody is there, so it begins anew.
        await watch.begin()
        edit(folder)
        async with asyncio.timeout(10):
            assert await watch.wait() == "m/config.yaml"

    asyncio.run(main())
