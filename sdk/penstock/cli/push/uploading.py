"""Sends an artifact to the controller, piece by piece."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import IO

from penstock.api.control.v1 import admin_pb2_grpc, artifact_pb2
from penstock.cli.byte_sizes import size_text
from penstock.cli.command_error import CommandError
from penstock.cli.connection import ANSWER_S
from penstock.cli.progress_line import ProgressLine
from penstock.packing import CHUNK_BYTES, Inventory, PackError, content_hash, pack

Progress = Callable[[int, int], None]
"""Called with the bytes that are sent and all there are."""


def bring(
    stub: admin_pb2_grpc.AdminServiceStub, inventory: Inventory, progress: ProgressLine, label: str = ""
) -> tuple[str, bool]:
    """Sends a directory unless the controller has it. Returns the artifact, and whether it had to be sent.

    Args:
        label: Stands in front of what is shown.

    Raises:
        CommandError: It cannot be packed.
    """
    try:
        artifact = content_hash(
            inventory, lambda done, total: progress.show(f"{label}reading {size_text(done)} of {size_text(total)}")
        )
        if is_stored(stub, artifact):
            progress.end(f"{label}unchanged: the controller has this code already ({artifact[:12]})")
            return artifact, False
        with tempfile.TemporaryFile() as archive:
            packed = pack(
                inventory,
                archive,
                lambda done, total: progress.show(f"{label}packing {size_text(done)} of {size_text(total)}"),
            )
            archive.seek(0)
            upload(
                stub,
                archive,
                packed.artifact,
                packed.size_bytes,
                lambda done, total: progress.show(f"{label}sending {size_text(done)} of {size_text(total)}"),
            )
    except PackError as exc:
        raise CommandError(str(exc)) from None
    except OSError as exc:
        raise CommandError(f"cannot pack {inventory.directory}: {exc.strerror}") from None
    finally:
        progress.clear()
    count = "1 file" if packed.entries == 1 else f"{packed.entries} files"
    progress.end(f"{label}sent {count}, {size_text(packed.size_bytes)} ({packed.artifact[:12]})")
    return packed.artifact, True


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
