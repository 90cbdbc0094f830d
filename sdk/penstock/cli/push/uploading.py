"""Sends an artifact to the controller, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from penstock.api.control.v1 import admin_pb2_grpc, artifact_pb2
from penstock.cli.connection import ANSWER_S
from penstock.packing import CHUNK_BYTES

Progress = Callable[[int, int], None]
"""Called with the bytes that are sent and all there are."""


def is_stored(stub: admin_pb2_grpc.AdminServiceStub, artifact: str) -> bool:
    """Whether the controller has the artifact already."""
    answer = stub.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=artifact), timeout=ANSWER_S)
    return bool(answer.is_stored)


def upload(
    stub: admin_pb2_grpc.AdminServiceStub, archive: IO[bytes], artifact: str, size_bytes: int, progress: Progress
) -> None:
    """Sends `archive`, at most CHUNK_BYTES at once; gRPC's flow control keeps what waits in memory to a few of them.

    It may take as long as it takes: the controller gives up when nothing comes for a minute, and pings tell of a
    machine that is gone.
    """
    stub.UploadArtifact(_requests(archive, artifact, size_bytes, progress))


def _requests(
    archive: IO[bytes], artifact: str, size_bytes: int, progress: Progress
) -> Iterator[artifact_pb2.UploadArtifactRequest]:
    header = artifact_pb2.ArtifactHeader(artifact=artifact, size_bytes=size_bytes)
    yield artifact_pb2.UploadArtifactRequest(header=header)
    sent = 0
    while chunk := archive.read(CHUNK_BYTES):
        yield artifact_pb2.UploadArtifactRequest(chunk=chunk)
        sent += len(chunk)
        progress(sent, size_bytes)
