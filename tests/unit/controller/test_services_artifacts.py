from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest

from penstock.api.control.v1 import artifact_pb2
from penstock.packing import pack_directory
from penstock_controller.services import artifacts
from penstock_testing.controller_parts import ControllerParts

Served = Callable[[], AbstractAsyncContextManager[tuple[ControllerParts, Any]]]


def requests(artifact: str, archive: bytes, *, chunk: int = 64) -> Iterator[artifact_pb2.UploadArtifactRequest]:
    header = artifact_pb2.ArtifactHeader(artifact=artifact, size_bytes=len(archive))
    yield artifact_pb2.UploadArtifactRequest(header=header)
    for start in range(0, len(archive), chunk):
        yield artifact_pb2.UploadArtifactRequest(chunk=archive[start : start + chunk])


@pytest.fixture
def push(tmp_path: Path) -> tuple[str, bytes]:
    folder = tmp_path / "truss"
    folder.mkdir()
    (folder / "config.yaml").write_text("model_name: echo\n")
    output = io.BytesIO()
    return pack_directory(folder, output).artifact, output.getvalue()


def test_an_artifact_is_uploaded_once(served_state: Served, tmp_path: Path, push: tuple[str, bytes]) -> None:
    async def scenario() -> None:
        async with served_state() as (_, stub):
            artifact = push[0]
            answer = await stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=artifact))
            assert (answer.is_stored, answer.size_bytes) == (False, 0)
            assert (await stub.UploadArtifact(requests(*push))).artifact == artifact
            answer = await stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=artifact))
            assert (answer.is_stored, answer.size_bytes) == (True, 17)
            assert (tmp_path / "artifacts" / artifact / "config.yaml").exists()
            # What is stored is not asked for again.
            only_header = list(requests(*push))[:1]
            assert (await stub.UploadArtifact(iter(only_header))).artifact == artifact

    asyncio.run(scenario())


def test_what_is_wrong_with_an_upload_is_told(
    served_state: Served, push: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "CHUNK_BYTES", 100)
    artifact, archive = push
    header, *chunks = requests(artifact, archive)
    wrong = [
        ([], "header: must come first"),
        (chunks, "header: must come first"),
        ([header, header], "chunk: must follow"),
        ([header, *chunks[:-1]], "of the announced"),
        (requests(artifact, archive, chunk=101), "at most 100 bytes"),
        (requests("0" * 64, archive), "has the hash"),
        (requests("../x", archive), "SHA-256"),
    ]

    async def scenario() -> None:
        async with served_state() as (_, stub):
            for sent, complaint in wrong:
                with pytest.raises(grpc.aio.AioRpcError, match=complaint):
                    await stub.UploadArtifact(iter(sent))

    asyncio.run(scenario())


def test_an_upload_that_stands_still_ends(
    served_state: Served, push: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "CHUNK_S", 0.05)

    async def scenario() -> None:
        async with served_state() as (_, stub):
            call = stub.UploadArtifact()
            await call.write(next(requests(*push)))
            with pytest.raises(grpc.aio.AioRpcError, match="nothing came for"):
                await call

    asyncio.run(scenario())
