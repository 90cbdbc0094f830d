from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock.packing import pack_directory
from penstock_controller import artifacts
from penstock_controller.artifacts import UPLOADS_MAX, ArtifactStore
from penstock_controller.errors import InvalidRequestError, NoRoomError, NotFoundError

Scenario = Callable[[ArtifactStore], Awaitable[None]]


def packed(tmp_path: Path, text: str = "model_name: echo\n", extra: int = 0) -> tuple[str, bytes]:
    """A Truss directory in an archive, with the hash of its content."""
    folder = tmp_path / "truss"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(text)
    (folder / "extra").write_bytes(os.urandom(extra))
    output = io.BytesIO()
    return pack_directory(folder, output).artifact, output.getvalue()


async def upload(store: ArtifactStore, artifact: str, archive: bytes) -> None:
    with await store.begin(artifact, len(archive)) as under_way:
        for start in range(0, len(archive), 100):
            await under_way.add(archive[start : start + 100])
        await under_way.finish()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_upload_becomes_a_folder_named_by_its_hash(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "a", lambda: 5.0)
    artifact, archive = packed(tmp_path)
    assert store.size(artifact) is None
    with pytest.raises(NotFoundError, match="push the directory again"):
        store.path(artifact)

    asyncio.run(upload(store, artifact, archive))

    assert (store.path(artifact) / "config.yaml").read_text() == "model_name: echo\n"
    assert store.size(artifact) == len("model_name: echo\n")
    assert names(tmp_path / "a") == [artifact, f"{artifact}.json"]


def test_the_next_controller_knows_it_and_clears_what_was_left_half_done(tmp_path: Path) -> None:
    artifact, archive = packed(tmp_path, extra=100)
    asyncio.run(upload(ArtifactStore(tmp_path / "a", lambda: 5.0), artifact, archive))
    (tmp_path / "a" / ".upload-x").touch()
    (tmp_path / "a" / ".unpack-y").mkdir()

    assert ArtifactStore(tmp_path / "a", lambda: 6.0).size(artifact) == 117
    assert names(tmp_path / "a") == [artifact, f"{artifact}.json"]
    (tmp_path / "a" / f"{artifact}.json").unlink()
    assert ArtifactStore(tmp_path / "a", lambda: 6.0).size(artifact) == 117, "measured anew"


def test_other_content_than_announced_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "a", lambda: 5.0)
    _, archive = packed(tmp_path)
    for broken in (archive, archive[:50], b"nonsense"):
        with pytest.raises(InvalidRequestError, match="artifact 0000"):
            asyncio.run(upload(store, "0" * 64, broken))
    assert names(tmp_path / "a") == []


def test_more_or_less_than_announced_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        with await store.begin(artifact, 10) as one, pytest.raises(InvalidRequestError, match="than the announced 10"):
            await one.add(b"x" * 11)
        with await store.begin(artifact, 10) as other:
            await other.add(b"x")
            with pytest.raises(InvalidRequestError, match="1 of the announced 10"):
                await other.finish()

    store = ArtifactStore(tmp_path / "a", lambda: 5.0)
    artifact, _ = packed(tmp_path)
    asyncio.run(scenario())
    assert names(tmp_path / "a") == []


@pytest.mark.parametrize("artifact", ["", "..", "../../etc", "A" * 64, "0" * 63])
def test_what_is_no_hash_names_nothing(tmp_path: Path, artifact: str) -> None:
    store = ArtifactStore(tmp_path / "a", lambda: 5.0)
    with pytest.raises(InvalidRequestError, match="SHA-256"):
        store.path(artifact)
    with pytest.raises(InvalidRequestError, match="SHA-256"):
        asyncio.run(upload(store, artifact, b"x"))


def test_only_so_many_uploads_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        begun = [await store.begin(artifact, 10) for _ in range(UPLOADS_MAX)]
        for one in begun:
            one.__enter__()
        with pytest.raises(NoRoomError, match="uploads are under way"):
            await store.begin(artifact, 10)
        begun[0].__exit__(None, None, None)
        with await store.begin(artifact, 10):
            pass
        for one in begun[1:]:
            one.__exit__(None, None, None)

    store = ArtifactStore(tmp_path / "a", lambda: 5.0)
    artifact, _ = packed(tmp_path)
    asyncio.run(scenario())


def test_unused_ones_make_room_and_those_of_deployments_do_not(tmp_path: Path) -> None:
    clock = iter(range(100))
    in_use: set[str] = set()
    store = ArtifactStore(tmp_path / "a", lambda: float(next(clock)), lambda: in_use, bytes_max=10_000)
    made = [packed(tmp_path, f"model_name: m{number}\n", extra=4000) for number in range(3)]
    for artifact, archive in made[:2]:
        asyncio.run(upload(store, artifact, archive))
    assert store.size(made[0][0]), "used once more: the other goes first"
    asyncio.run(upload(store, *made[2]))
    assert [store.size(artifact) is not None for artifact, _ in made] == [True, False, True]

    in_use.update((made[0][0], made[2][0]))
    with pytest.raises(NoRoomError, match="those of deployments take"):
        asyncio.run(upload(store, *made[1]))
    assert [store.size(artifact) is not None for artifact, _ in made] == [True, False, True]


def test_content_may_not_be_larger_than_the_room(tmp_path: Path) -> None:
    """An archive of a few bytes can hold gigabytes of zeros."""
    folder = tmp_path / "truss"
    folder.mkdir()
    (folder / "config.yaml").touch()
    (folder / "zeros").write_bytes(bytes(100_000))
    output = io.BytesIO()
    artifact = pack_directory(folder, output).artifact
    assert len(output.getvalue()) < 5000
    with pytest.raises(InvalidRequestError, match="more than 50000 bytes"):
        asyncio.run(upload(ArtifactStore(tmp_path / "a", lambda: 5.0, bytes_max=50_000), artifact, output.getvalue()))
    assert names(tmp_path / "a") == []


def test_a_disk_that_is_nearly_full_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "DISK_RESERVE_BYTES", 2**60)
    store = ArtifactStore(tmp_path / "a", lambda: 5.0)
    with pytest.raises(NoRoomError, match="make room there"):
        asyncio.run(upload(store, *packed(tmp_path)))
